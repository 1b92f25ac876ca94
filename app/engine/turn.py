"""A turn, in the order of its work: route, repair, race, relay, account.

turn = desk.take(request)     returns at commit, or raises the GlottisError that the caller gets as a status
turn.events()                 the answer, from its first event to its usage; raises ProviderError where it is cut
turn.close()                  always, on every path, as often as one likes: ends the upstream call, and accounts
"""

import time
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from app.domain.errors import (
    CallerGone,
    GlottisError,
    InternalError,
    ProviderError,
    ProviderRequestRefused,
    ProviderTimeout,
    unforeseen,
)
from app.domain.events import Event
from app.domain.ports import Observer, Provider
from app.domain.request import TurnRequest
from app.domain.turn import Attempt, End, TurnRecord
from app.engine.race import LiveAttempt, race, with_defaults
from app.engine.relay import Tally, relay
from app.engine.repair import place_before_repair, repaired
from app.engine.routing import Router

ENDS: dict[str, End] = {"length": "length", "content_filter": "refused"}
"""How a turn ended by its finish reason; every other one is `completed`."""

STATUS_CALLER_GONE = 499


class Desk:
    """Takes turns: holds what all of them share."""

    def __init__(self, router: Router, providers: Mapping[str, Provider], observers: Sequence[Observer]) -> None:
        self.router = router
        self.providers = providers
        self.observers = observers

    def take(self, request: TurnRequest) -> "Turn":
        """Return the turn at its commit; raises GlottisError, or CallerGone, with the turn closed and accounted."""
        turn = Turn(request, self)
        try:
            turn.begin()
        except Exception as error:
            if isinstance(error, GlottisError):
                turn.close(error)
                raise
            named = unforeseen(error)
            turn.close(named)
            raise named from error
        except BaseException as gone:
            turn.close(gone)
            raise
        return turn


class Turn:
    """One request of the platform, from its coming in to its accounting."""

    def __init__(self, request: TurnRequest, desk: Desk) -> None:
        self.request = request
        self.tally = Tally()
        self._desk = desk
        self._started_at = time.monotonic()
        self._attempt: LiveAttempt | None = None
        self._past: list[Attempt] = []
        self._error: BaseException | None = None
        self._closed = False

    def begin(self) -> None:
        """Find the targets and wait until one speaks."""
        route = self._desk.router.resolve(self.request.model)
        self.request = with_defaults(self.request, route)
        mended = repaired(self.request.messages)
        request = msgspec.structs.replace(self.request, messages=mended)
        try:
            self._attempt = race(request, route, self._desk.providers, self._past)
        except ProviderRequestRefused as refusal:
            refusal.param = place_before_repair(refusal.param, mended, self.request.messages)
            raise

    def events(self) -> Iterator[Event]:
        """Yield the answer; raises ProviderError where it breaks off, InternalError where it is our fault."""
        assert self._attempt is not None, "events come after commit"  # noqa: S101
        try:
            yield from relay(self._attempt.events(), self.request, self.tally)
        except GlottisError as error:
            self._error = error
            raise
        except Exception as error:
            self._error = unforeseen(error)
            raise self._error from error

    def close(self, error: BaseException | None = None) -> None:
        """End the upstream call and account for the turn; `error` is what ended it, if the turn does not know."""
        if self._closed:
            return
        self._closed = True
        self._error = self._error or error
        try:
            if self._attempt is not None:
                self._attempt.close()
        finally:  # a provider that fails to close must not go unheard
            self._account()
            # Its traceback would keep what the call held, sockets among them, until the next garbage collection.
            self._error = None

    def _account(self) -> None:
        if self._attempt is not None:
            self._past.append(self._attempt.record(self._error))
        record = self._record()
        if isinstance(self._error, GlottisError):
            self._error.accounted = True
        for observer in self._desk.observers:
            observer.turn_ended(record)

    def _record(self) -> TurnRecord:
        end, error = self._end(), _ours(self._error)
        first_speakable_at = None if self._attempt is None else self._attempt.first_speakable_at
        return TurnRecord(
            request_id=self.request.request_id,
            conversation_id=self.request.conversation_id,
            model=self.request.model,
            stream=self.request.stream,
            end=end,
            status=self._status(error, end),
            target=str(self._attempt.target) if self._attempt is not None else None,
            attempts=self._past,
            error=None if error is None else f"{error.name}: {error.detail or error.message}",
            first_speakable_ms=None if first_speakable_at is None else _ms(first_speakable_at - self._started_at),
            total_ms=_ms(time.monotonic() - self._started_at),
            text_chars=self.tally.text_chars,
            tool_calls=self.tally.tool_calls,
            finish_reason=None if self.tally.finish is None else self.tally.finish.reason,
            usage=self.tally.usage,
        )

    def _end(self) -> End:
        match self._error:
            case None | CallerGone() | GeneratorExit() if self.tally.finish is not None:
                return ENDS.get(self.tally.finish.reason, "completed")
            case None | CallerGone() | GeneratorExit():
                return "caller_gone"
            case ProviderTimeout():
                return "provider_timeout"
            case GlottisError() as error if error.status < 500 and error.type == "invalid_request_error":
                return "invalid_request"
            case ProviderError():
                return "provider_error"
            case _:
                return "internal"

    def _status(self, error: GlottisError | None, end: End) -> int:
        if self._attempt is not None and self.request.stream:  # the status went out at commit
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
