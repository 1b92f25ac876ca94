"""The turn line of a chat request that ended before it was a turn: a wrong key or field, a limit, a caller who left."""

import msgspec
from flask import current_app, request

from app.api.caller import CallerWatch
from app.api.desk import desk
from app.api.trace import traceparent
from app.domain.errors import GlottisError
from app.schemas.chat import sketch

ASKED = "glottis.asked"
"""In the environ: what was asked for, as far as it has been read; the body, then the TurnRequest."""

TAKEN = "glottis.taken"
"""In the environ: the request has become a turn, which tells of itself."""


def account(error: BaseException) -> bool:
    """Tell what ended the request; whether there was that to tell: a chat request that was no turn yet."""
    environ = request.environ
    if request.blueprint != "chat" or request.method != "POST" or TAKEN in environ:
        return False
    asked = sketch(
        environ.get(ASKED),
        conversation_id=request.headers.get("X-Conversation-Id"),
        conversation_id_fields=current_app.config["CONVERSATION_ID_FIELDS"],
    )
    known = msgspec.structs.replace(
        asked,
        request_id=environ["glottis.request_id"],
        caller=environ.get("glottis.caller", ""),
        traceparent=traceparent(environ),
    )
    environ[TAKEN] = True
    desk().refuse(known, CallerWatch(environ), error)
    if isinstance(error, GlottisError):
        error.accounted = True
    return True
