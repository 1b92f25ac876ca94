"""Every error as OpenAI's JSON: Glottis' own, Flask's and werkzeug's, and those that nobody foresaw."""

import logging
import math

import msgspec
from flask import Flask, Response, current_app, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected, HTTPException

from app.api.refusal import account
from app.api.sse import error_object
from app.api.worker import malformed
from app.domain import errors, telling
from app.telemetry.logs import log

LONGEST_PATH = 200

HTTP_ERRORS: dict[int, tuple[type[errors.RequestError], str]] = {
    404: (errors.PathNotFound, "Unknown path: {method} {path}. Chat is at /v1/chat/completions."),
    405: (errors.MethodNotAllowed, "{method} is not allowed for {path}."),
    413: (errors.RequestTooLarge, "The request body is larger than this server takes."),
    415: (errors.UnsupportedMediaType, "The request body must be application/json."),
}
"""What werkzeug raises, by its status; what is not named here is InvalidRequest, or InternalError from 500 on."""


def response_of(error: errors.GlottisError) -> Response:
    """Return the answer that tells a caller of an error before its stream has begun."""
    response = Response(msgspec.json.encode(error_object(error)), status=error.status, content_type="application/json")
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    return response


def _glottis_error(error: errors.GlottisError) -> Response:
    metrics = current_app.extensions.get("glottis.metrics")
    if metrics is not None and not error.accounted:
        metrics.refused(error.name)
    # A turn that failed has its own line, and so has a request that never became one; all others are told here.
    if not error.accounted and not account(error):
        log(
            logging.INFO,
            "request_refused",
            path=request.path[:LONGEST_PATH],
            status=error.status,
            code=error.code,
            param=telling.place(error.param),
            request_id=request.environ.get("glottis.request_id"),
        )
    return response_of(error)


def _http_error(error: HTTPException) -> Response:
    if isinstance(error, ClientDisconnected):
        account(errors.CallerGone())  # in the middle of the request; nobody hears this answer
        return response_of(errors.InvalidRequest())
    status = error.code or 500
    if status >= 500:
        return _unforeseen(error)
    kind, message = HTTP_ERRORS.get(status, (errors.InvalidRequest, "The request is not valid."))
    # Only our own words are a template: a path may hold braces too.
    response = _glottis_error(kind(message.format(method=request.method, path=request.path[:LONGEST_PATH])))
    response.status_code = status
    if valid_methods := getattr(error, "valid_methods", None):
        response.headers["Allow"] = ", ".join(valid_methods)
    return response


def _malformed(error: ParseException) -> Response:
    # gunicorn reads a chunked body only when the view does.
    return _glottis_error(malformed(error))


def _unforeseen(error: Exception) -> Response:
    named = errors.unforeseen(error)
    if not account(named):
        log(
            logging.ERROR,
            "internal_error",
            path=request.path[:LONGEST_PATH],
            error=named.detail,
            request_id=request.environ.get("glottis.request_id"),
        )
    return response_of(named)


def init_app(app: Flask) -> None:
    """Answer every error in OpenAI's shape."""
    app.register_error_handler(errors.GlottisError, _glottis_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(ParseException, _malformed)
    app.register_error_handler(Exception, _unforeseen)
