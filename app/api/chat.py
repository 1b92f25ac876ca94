"""POST /v1/chat/completions: a request in, a turn's answer out, streamed or whole."""

import os
import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import gevent
import msgspec
from flask import Blueprint, Config, Flask, Request, Response, current_app, request

from app.api.ahead import Ahead
from app.api.auth import keyed
from app.api.body import MOST_CONTAINERS, MOST_VALUES, is_too_dense, read_body
from app.api.caching import allowed_by, told
from app.api.caller import CallerWatch
from app.api.completion import fold
from app.api.desk import desk_of
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
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    asked: Request = request._get_current_object()  # type: ignore[attr-defined]
    environ, taker = asked.environ, desk_of(app)
    turn_request = environ[ASKED] = _read_request(asked, app.config)
    watch = CallerWatch(environ)
    watch.start()
    admission: Admission | None = None
    try:
        if taker.open_turns:
            # Words that wait for other callers go first; and calls that came together go out together, so that their
            # chunks come in step and share the loop's wake-ups: 8.3 ms of CPU a turn instead of 10.5, 50 at once.
            gevent.sleep(0)
        admission = admit(app, turn_request)
        environ[TAKEN] = True
        del environ[ASKED]  # or it would be kept for as long as the answer lasts
        streamed = Ahead(partial(StreamResponse, turn_request, watch)) if turn_request.stream else None
        turn = taker.take(turn_request, watch, admission)
    except BaseException as error:
        account(error)
        watch.stop()
        if admission is not None:
            admission.close()
        raise
    return told(_whole(turn, watch) if streamed is None else streamed.get().of(turn), turn)


class AnswerStream:
    """The bytes of a streamed answer, as WSGI takes them.

    Handed to the server as it is, it saves two of werkzeug's calls a chunk; `close` comes always, read or not.
    """

    turn: Turn

    def __init__(self, watch: CallerWatch, encoder: ChunkEncoder) -> None:
        """Take all but the turn, which is set when it has an answer."""
        self._watch = watch
        self._encoder = encoder

    def __iter__(self) -> Iterator[bytes]:
        self._encoder.shows_reasoning = self.turn.request.reasoning_content  # as the route has it
        return self._encoder.stream(self.turn.events(), self.turn.close)

    def close(self) -> None:
        """End the turn; may be called again."""
        self._watch.stop()
        self.turn.close()


class BareResponse(Response):
    """An answer handed to the server as it is: werkzeug would look into its headers and its body first, in 60 calls."""

    def __init__(self, body: Iterable[bytes], headers: list[tuple[str, str]]) -> None:
        """Take the body, and the headers that say all of it."""
        super().__init__(body, headers=headers)
        self._body = body

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Serve it."""
        start_response(self.status, self.headers.to_wsgi_list())
        return self._body


class StreamResponse(BareResponse):
    """A streamed answer."""

    def __init__(self, turn_request: TurnRequest, watch: CallerWatch) -> None:
        """Make all that does not depend on what the model says."""
        self._stream = AnswerStream(watch, ChunkEncoder(_new_id(), int(time.time()), turn_request))
        super().__init__(self._stream, STREAM_HEADERS)

    def of(self, turn: Turn) -> "StreamResponse":
        """Return it as the answer to this turn."""
        self._stream.turn = turn
        return self


def _new_id() -> str:
    """Return an id in the shape of OpenAI's."""
    return f"chatcmpl-{os.urandom(15).hex()[:29]}"


def _whole(turn: Turn, watch: CallerWatch) -> Response:
    error: BaseException | None = None
    try:
        answer = msgspec.json.encode(fold(turn.events(), _new_id(), int(time.time()), turn.request))
    except BaseException as failure:
        error = failure
        raise
    finally:
        watch.stop()
        turn.close(error)
    return BareResponse([answer], [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])


def _read_request(asked: Request, config: Config) -> TurnRequest:
    environ = asked.environ
    if environ.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
        raise UnsupportedMediaType("Compressed request bodies are not supported.", param="Content-Encoding")
    if environ.get("CONTENT_TYPE") != "application/json" and not _says_json(asked.mimetype):
        raise UnsupportedMediaType("The request body must be JSON: send 'Content-Type: application/json'.")
    body = environ[ASKED] = _decoded(read_body(asked, config["MAX_CONTENT_LENGTH"]))
    return load_request(
        body,
        request_id=environ["glottis.request_id"],
        caller=environ.get("glottis.caller", ""),
        conversation_id=environ.get("HTTP_X_CONVERSATION_ID"),
        traceparent=traceparent(environ),
        conversation_id_fields=config["CONVERSATION_ID_FIELDS"],
        caching=allowed_by(environ.get("HTTP_CACHE_CONTROL")),
        max_tokens_limit=config["MAX_TOKENS_LIMIT"],
    )


def _says_json(mimetype: str) -> bool:
    return mimetype == "application/json" or mimetype.endswith("+json")


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
