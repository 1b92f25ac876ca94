"""What is told of a turn when it is over: how it ended, in words of a closed list, and what it went through."""

import time

import msgspec

from app.domain.errors import (
    CallerGone,
    GlottisError,
    ProviderError,
    ProviderTimeout,
    RateLimitExceeded,
    ServerStopping,
    unforeseen,
)
from app.domain.ports import Caller, CostOf
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
    first_byte_at: float | None,
    is_heard: bool,
    is_last: bool,
    accounts: bool,
    shares: str | None,
    caller: Caller,
    route: str | None,
    cost_of: CostOf,
) -> TurnRecord:
    """Return the record of a turn that is over.

    `error` is what ended it; `began_at` and `first_byte_at`, the time of its commit, are of the monotonic clock;
    `is_heard` is whether its caller stayed as long as there was something to hear, `is_last` whether nobody else hears
    the answer, `accounts` whether it tells what the answer cost: of those that share one, only one does. `shares` is as
    in TurnRecord. Costs 10 us, 2 of them for the price.
    """
    now = time.monotonic()

    def since_ms(at: float | None) -> float | None:
        return None if at is None else max(0.0, _ms(at - began_at))

    tally = answer.tally
    error = error or answer.failure
    end = _end(error, tally.finish.reason if tally.finish is not None and is_heard else None)
    told = _ours(error)
    late_ms = _ms(began_at - answer.began_at) if shares else 0.0
    attempts = [_told_of(each, accounts=accounts, late_ms=late_ms) for each in answer.past]
    status = _status(told, end, is_out=first_byte_at is not None and (request.stream or answer.failure is not None))
    is_model_s = answer.failure is None
    return TurnRecord(
        request_id=request.request_id,
        conversation_id=request.conversation_id,
        model=request.model,
        stream=request.stream,
        end=end,
        status=status,
        target=answer.target,
        attempts=attempts,
        error=None if told is None else f"{told.name}: {told.detail or told.message}",
        first_speakable_ms=since_ms(answer.first_speakable_at),
        total_ms=_ms(now - began_at),
        text_chars=sum(map(len, tally.said)),
        tool_calls=tally.tool_calls,
        finish_reason=None if tally.finish is None else tally.finish.reason,
        usage=tally.usage if accounts else None,
        resumes=answer.resumes,
        fillers=tally.fillers,
        apologised=answer.failure is not None,
        shares=shares,
        began_at=round(time.time() - (now - caller.came_at), 3),
        key=request.caller or None,
        route=route,
        first_byte_ms=since_ms(first_byte_at if request.stream else now if status == 200 else None),
        first_sentence_ms=since_ms(tally.first_sentence_at) if is_model_s else None,
        largest_gap_ms=_ms(tally.largest_gap_s) or None if is_model_s else None,
        overhead_ms=None if shares else _overhead_ms(answer, caller.came_at),
        cancel_ms=_ms(now - (caller.gone_at or now)) if end == "caller_gone" and is_last and attempts else None,
        cost_usd=_cost_usd(attempts, cost_of),
        cache=answer.cache,
        traceparent=request.traceparent,
    )


def _told_of(attempt: Attempt, *, accounts: bool, late_ms: float) -> Attempt:
    """Return an attempt as a turn tells of it that came so much later than the answer which it shares."""
    if accounts and not late_ms:
        return attempt
    began_ms, usage = round(attempt.began_ms - late_ms, 1), attempt.usage if accounts else None
    return msgspec.structs.replace(attempt, began_ms=began_ms, usage=usage)


def _overhead_ms(answer: Answer, came_at: float) -> float | None:
    began_at = [answer.began_at + each.began_ms / 1000 for each in answer.past]
    began_at += [answer.attempt.began_at] if answer.attempt is not None else []
    return _ms(min(began_at) - came_at) if began_at else None


def _cost_usd(attempts: list[Attempt], cost_of: CostOf) -> float | None:
    """Return the price of all that was used; None if nothing was, or if a price is not known."""
    costs = [cost_of(each.target, each.usage) for each in attempts if each.usage is not None]
    known = [cost for cost in costs if cost is not None]
    return round(sum(known), 9) if known and len(known) == len(costs) else None


def _end(error: BaseException | None, finish_reason: str | None) -> End:
    match error:
        case None | CallerGone() | GeneratorExit():
            return "caller_gone" if finish_reason is None else ENDS.get(finish_reason, "completed")
        case ProviderTimeout():
            return "provider_timeout"
        case ServerStopping():
            return "drained"
        case RateLimitExceeded():
            return "limit"
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
    """Return the error if it is one of ours; None for the caller's going; any other as an InternalError."""
    if error is None or isinstance(error, GlottisError):
        return error
    if isinstance(error, CallerGone | GeneratorExit):
        return None
    return unforeseen(error)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
