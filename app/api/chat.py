"""POST /v1/chat/completions: a request in, a turn's answer out, streamed or whole."""

import secrets
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

import gevent
import msgspec
from flask import Blueprint, Request, Response, current_app, request

from app.api.auth import keyed
from app.api.body import MOST_CONTAINERS, MOST_VALUES, is_too_dense, read_body
from app.api.caching import allowed_by, told
from app.api.caller import CallerWatch
from app.api.completion import fold
from app.api.desk import desk
from app.api.limits import Admission, admit
from app.api.refusal import ASKED, TAKEN, account
from app.api.sse import ChunkEncoder
from app.api.trace import traceparent
from app.domain.errors import InvalidRequest, RequestTooLarge, UnsupportedMediaType
from app.domain.request import TurnRequest
from app.engine.turn import Turn
from app.schemas.chat import load_request

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

blueprint = Blueprint("chat", __name__)

PATHS = [base + path for base in ("/v1", "") for path in ("/chat/completions", "/chat/completions/chat/completions")]
"""ElevenLabs appends /chat/completions to whatever base was pasted: with /v1, without, or already the full URL."""

STREAM_HEADERS = [("Content-Type", "text/event-stream; charset=utf-8"), ("X-Accel-Buffering", "no")]


def chat_completions() -> Response:
    """Answer a turn."""
    environ, taker = request.environ, desk()
    turn_request = environ[ASKED] = _read_request(request._get_current_object())  # type: ignore[attr-defined]
    watch = CallerWatch(environ)
    watch.start()
    admission: Admission | None = None
    try:
        if taker.open_turns:
            # Words that wait for other callers go first; and calls that came together go out together, so that their
            # chunks come in step and share the loop's wake-ups: 8.3 ms of CPU a turn instead of 10.5, 50 at once.
            gevent.sleep(0)
        admission = admit(turn_request)
        environ[TAKEN] = True
        del environ[ASKED]  # or it would be kept for as long as the answer lasts
        turn = taker.take(turn_request, watch, admission)
    except BaseException as error:
        account(error)
        watch.stop()
        if admission is not None:
            admission.close()
        raise
    completion_id, created = f"chatcmpl-{secrets.token_hex(15)[:29]}", int(time.time())
    if turn_request.stream:
        encoder = ChunkEncoder(completion_id, created, turn.request)
        stream = AnswerStream(turn, watch, encoder)
        return told(StreamResponse(stream, headers=STREAM_HEADERS), turn)
    return told(_whole(turn, watch, completion_id, created), turn)


class StreamResponse(Response):
    """A streamed answer, handed to the server as it is: werkzeug would look into its headers and its body first."""

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Serve it."""
        start_response(self.status, self.headers.to_wsgi_list())
        return cast("Iterable[bytes]", self.response)


class AnswerStream:
    """The bytes of a streamed answer, as WSGI takes them.

    Handed to the server as it is, it saves two of werkzeug's calls a chunk; `close` comes always, read or not.
    """

    def __init__(self, turn: Turn, watch: CallerWatch, encoder: ChunkEncoder) -> None:
        self._turn = turn
        self._watch = watch
        self._encoder = encoder

    def __iter__(self) -> Iterator[bytes]:
        return self._encoder.stream(self._turn.events(), self._turn.close)

    def close(self) -> None:
        """End the turn; may be called again."""
        self._watch.stop()
        self._turn.close()


def _whole(turn: Turn, watch: CallerWatch, completion_id: str, created: int) -> Response:
    error: BaseException | None = None
    try:
        answer = msgspec.json.encode(fold(turn.events(), completion_id, created, turn.request))
    except BaseException as failure:
        error = failure
        raise
    finally:
        watch.stop()
        turn.close(error)
    return Response(answer, content_type="application/json")


def _read_request(asked: Request) -> TurnRequest:
    config, environ, headers = current_app.config, asked.environ, asked.headers
    if asked.content_encoding not in (None, "identity"):
        raise UnsupportedMediaType("Compressed request bodies are not supported.", param="Content-Encoding")
    if asked.mimetype != "application/json" and not asked.mimetype.endswith("+json"):
        raise UnsupportedMediaType("The request body must be JSON: send 'Content-Type: application/json'.")
    body = environ[ASKED] = _decoded(read_body(asked, config["MAX_CONTENT_LENGTH"]))
    return load_request(
        body,
        request_id=environ["glottis.request_id"],
        caller=environ.get("glottis.caller", ""),
        conversation_id=headers.get("X-Conversation-Id"),
        traceparent=traceparent(environ),
        conversation_id_fields=config["CONVERSATION_ID_FIELDS"],
        caching=allowed_by(headers.get("Cache-Control")),
        max_tokens_limit=config["MAX_TOKENS_LIMIT"],
    )


def _decoded(body: bytes) -> Any:
    if is_too_dense(body):
        raise RequestTooLarge(
            f"The body has more than {MOST_CONTAINERS} objects and lists, or more than {MOST_VALUES} values."
        )
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.", code="invalid_json") from None
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply.", code="invalid_json") from None


for path in PATHS:
    blueprint.add_url_rule(path, view_func=keyed(chat_completions), methods=["POST"])
