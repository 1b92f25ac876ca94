"""POST /v1/chat/completions: a request in, a turn's answer out, streamed or whole."""

import time
import uuid
from collections.abc import Iterator
from typing import Any

import msgspec
from flask import Blueprint, Response, current_app, request

from app.api.auth import keyed
from app.api.caller import CallerWatch
from app.api.completion import fold
from app.api.sse import ChunkEncoder
from app.domain.errors import CallerGone, InvalidRequest, UnsupportedMediaType
from app.domain.request import TurnRequest
from app.engine.turn import Desk, Turn
from app.schemas.chat import load_request

blueprint = Blueprint("chat", __name__)

PATHS = [base + path for base in ("/v1", "") for path in ("/chat/completions", "/chat/completions/chat/completions")]
"""ElevenLabs appends /chat/completions to whatever base was pasted: with /v1, without, or already the full URL."""

STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def chat_completions() -> Response:
    """Answer a turn."""
    turn_request = _read_request()
    watch = CallerWatch(request.environ)
    watch.start()
    try:
        turn = _desk().take(turn_request)
    except BaseException:
        watch.stop()
        raise
    completion_id, created = f"chatcmpl-{uuid.uuid4().hex[:29]}", int(time.time())
    if turn_request.stream:
        encoder = ChunkEncoder(completion_id, created, turn_request.model, include_usage=turn_request.include_usage)
        return _streamed(turn, watch, encoder)
    return _whole(turn, watch, completion_id, created)


def _streamed(turn: Turn, watch: CallerWatch, encoder: ChunkEncoder) -> Response:
    def pieces() -> Iterator[bytes]:
        error: BaseException | None = None
        try:
            yield from encoder.stream(turn.events())
        except CallerGone as gone:
            error = gone  # nobody is left to tell
        except BaseException as unforeseen:
            error = unforeseen
            raise
        finally:
            watch.stop()
            turn.close(error)

    response = Response(pieces(), content_type="text/event-stream; charset=utf-8", headers=STREAM_HEADERS)
    # A generator that is closed before its first step never runs its `finally`.
    response.call_on_close(watch.stop)
    response.call_on_close(turn.close)
    return response


def _whole(turn: Turn, watch: CallerWatch, completion_id: str, created: int) -> Response:
    error: BaseException | None = None
    try:
        answer = fold(turn.events(), completion_id, created, turn.request.model)
    except BaseException as raised:
        error = raised
        raise
    finally:
        watch.stop()
        turn.close(error)
    return Response(msgspec.json.encode(answer), content_type="application/json")


def _read_request() -> TurnRequest:
    if request.mimetype != "application/json" and not request.mimetype.endswith("+json"):
        raise UnsupportedMediaType("The request body must be JSON: send 'Content-Type: application/json'.")
    return load_request(
        _decoded(request.get_data(cache=False)),
        request_id=request.environ["glottis.request_id"],
        conversation_id=request.headers.get("X-Conversation-Id"),
        conversation_id_fields=current_app.config["CONVERSATION_ID_FIELDS"],
        max_tokens_limit=current_app.config["MAX_TOKENS_LIMIT"],
    )


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.", code="invalid_json") from None
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply.", code="invalid_json") from None


def _desk() -> Desk:
    desk: Desk = current_app.extensions["glottis.desk"]
    return desk


for path in PATHS:
    blueprint.add_url_rule(path, view_func=keyed(chat_completions), methods=["POST"])
