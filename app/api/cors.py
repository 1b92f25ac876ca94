"""Pages of other origins may call, if CORS_ORIGINS names them; without it this module is not even loaded.

Keys travel in headers that a page sets itself, never in cookies: so no answer allows credentials.
"""

from collections.abc import Collection

from flask import Flask, Response, request

FRESH_S = 600
"""A browser asks again after so long."""


def init_app(app: Flask, origins: Collection[str]) -> None:
    """Answer browsers' preflight requests before any key is asked for, and mark every answer for these origins."""

    def preflight() -> Response | None:
        wanted = request.headers.get("Access-Control-Request-Method")
        # A path that is not there is told so as ever.
        if request.method != "OPTIONS" or not wanted or request.url_rule is None or _allowed() is None:
            return None
        response = app.make_default_options_response()
        response.status_code = 204
        response.headers["Access-Control-Allow-Methods"] = response.headers["Allow"]
        response.headers["Access-Control-Max-Age"] = str(FRESH_S)
        # Clients send headers of their own, as OpenAI's does by the dozen; without credentials none of them matters.
        if headers := request.headers.get("Access-Control-Request-Headers"):
            response.headers["Access-Control-Allow-Headers"] = headers
        return response

    def mark(response: Response) -> Response:
        if "*" not in origins:
            response.vary.add("Origin")
        if origin := _allowed():
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = "*"
        return response

    def _allowed() -> str | None:
        origin = request.headers.get("Origin")
        if "*" in origins:
            return "*"
        return origin if origin in origins else None

    app.before_request(preflight)
    app.after_request(mark)
