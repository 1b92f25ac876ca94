"""What is told of a turn when it is over: how it ended, in words of a closed list, and what it went through."""

import time

import msgspec

from app.domain.errors import (
    CallerGone,
    GlottisError,
    InternalError,
    ProviderError,
    ProviderTimeout,
    ServerStopping,
)
from app.domain.request import TurnRequest
from app.domain.turn import Attempt, End, TurnRecord
from app.engine.answer import Answer

ENDS: dict[str, End] = {"length": "length", "content_filter": "refused"}
"""How a turn ended by its finish reason; every other one is `completed`."""

STATUS_CALLER_GONE = 499


def record_of(
    request: TurnRequest,
    answer: Answer,
    *,
    error: BaseException | None,
    began_at: float,
    is_committed: bool,
    is_heard: bool,
    accounts: bool,
    shares: str | None,
) -> TurnRecord:
    """Return the record of a turn that is over.

    `error` is what ended it, `began_at` is of the monotonic clock, `is_committed` whether its status is out, `is_heard`
    whether its caller stayed as long as there was something to hear, `accounts` whether it tells what the answer cost:
    of those that share one, only one does. `shares` is as in TurnRecord.
    """
    tally, attempt = answer.tally, answer.attempt
    error = error or answer.failure
    end = _end(error, tally.finish.reason if tally.finish is not None and is_heard else None)
    told = _ours(error)
    late_ms = _ms(began_at - answer.began_at) if shares else 0.0
    return TurnRecord(
        request_id=request.request_id,
        conversation_id=request.conversation_id,
        model=request.model,
        stream=request.stream,
        end=end,
        status=_status(told, end, is_out=is_committed and (request.stream or answer.failure is not None)),
        target=None if attempt is None else str(attempt.target),
        attempts=[_told_of(each, accounts=accounts, late_ms=late_ms) for each in answer.past],
        error=None if told is None else f"{told.name}: {told.detail or told.message}",
        first_speakable_ms=None
        if answer.first_speakable_at is None
        else max(0.0, _ms(answer.first_speakable_at - began_at)),
        total_ms=_ms(time.monotonic() - began_at),
        text_chars=sum(map(len, tally.said)),
        tool_calls=tally.tool_calls,
        finish_reason=None if tally.finish is None else tally.finish.reason,
        usage=tally.usage if accounts else None,
        resumes=answer.resumes,
        fillers=tally.fillers,
        apologised=answer.failure is not None,
        shares=shares,
        began_at=time.time() - (time.monotonic() - began_at),
        traceparent=request.traceparent,
    )


def _told_of(attempt: Attempt, *, accounts: bool, late_ms: float) -> Attempt:
    """Return an attempt as a turn tells of it that came so much later than the answer which it shares."""
    if accounts and not late_ms:
        return attempt
    began_ms, usage = round(attempt.began_ms - late_ms, 1), attempt.usage if accounts else None
    return msgspec.structs.replace(attempt, began_ms=began_ms, usage=usage)


def _end(error: BaseException | None, finish_reason: str | None) -> End:
    match error:
        case None | CallerGone() | GeneratorExit():
            return "caller_gone" if finish_reason is None else ENDS.get(finish_reason, "completed")
        case ProviderTimeout():
            return "provider_timeout"
        case ServerStopping():
            return "drained"
        case GlottisError() if error.status < 500 and error.type == "invalid_request_error":
            return "invalid_request"
        case ProviderError():
            return "provider_error"
        case _:
            return "internal"


def _status(error: GlottisError | None, end: End, *, is_out: bool) -> int:
    if is_out:
        return 200
    if error is not None:
        return error.status
    return STATUS_CALLER_GONE if end == "caller_gone" else 200


def _ours(error: BaseException | None) -> GlottisError | None:
    """Return the error if it is one of ours; None for the caller's going; any other as an InternalError by its name."""
    if error is None or isinstance(error, GlottisError):
        return error
    if isinstance(error, CallerGone | GeneratorExit):
        return None
    return InternalError(detail=type(error).__name__)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
