"""Attempts, target by target, until one speaks: before that, anything can be replaced without the caller knowing."""

import time
from collections.abc import Iterator, Mapping
from functools import partial

import msgspec

from app.domain.config import Route, Target
from app.domain.errors import ContentNotTaken, ContextTooLong, ProviderBroken, ProviderError, ProviderRequestRefused
from app.domain.events import Event, Events, Finish, is_speakable
from app.domain.ports import Provider
from app.domain.request import TurnRequest
from app.domain.turn import Attempt


class LiveAttempt:
    """One upstream call for a turn. `close` ends it, at any moment and more than once.

    `first_speakable_at` stays None where the answer ended without a word and without a tool call.
    """

    def __init__(self, target: Target, provider: Provider, request: TurnRequest) -> None:
        self.target = target
        self._started_at = time.monotonic()
        self._call = partial(provider.stream, request, target.model)
        self._events: Events | None = None
        self._before_commit: list[Event] = []
        self.first_speakable_at: float | None = None

    def listen(self) -> None:
        """Call, and wait for the first event that the caller can hear, or for the end; raises ProviderError."""
        self._events = self._call()
        for event in self._events:
            self._before_commit.append(event)
            if is_speakable(event):
                self.first_speakable_at = time.monotonic()
                return
            if isinstance(event, Finish):
                return
        raise ProviderBroken(detail="the answer ended without a finish")

    def events(self) -> Iterator[Event]:
        """Yield the answer from its start; raises ProviderError where it breaks off."""
        yield from self._before_commit
        yield from self._events or ()

    def close(self) -> None:
        """End the upstream call."""
        if self._events is not None:
            self._events.close()

    def record(self, error: BaseException | None = None) -> Attempt:
        """Return what is told of this attempt, now that it is over; that the caller went is no error of it."""
        return Attempt(
            target=str(self.target),
            duration_ms=round((time.monotonic() - self._started_at) * 1000, 1),
            error=type(error).__name__ if isinstance(error, Exception) else None,
            upstream_status=getattr(error, "upstream_status", None),
        )


def race(request: TurnRequest, route: Route, providers: Mapping[str, Provider], past: list[Attempt]) -> LiveAttempt:
    """Return the first attempt that speaks; `past` takes those that failed before it.

    Raises the last target's ProviderError when none does, and at once when the request itself was refused: another
    target is asked only if the conversation was too long for this one, or held what it cannot take.
    """
    failure: ProviderError | None = None
    for target in route.targets:
        attempt = LiveAttempt(target, providers[target.provider], request)
        try:
            attempt.listen()
        except ProviderError as error:
            past.append(attempt.record(error))
            if isinstance(error, ProviderRequestRefused) and not isinstance(error, ContextTooLong | ContentNotTaken):
                raise
            failure = error
        except BaseException as error:
            past.append(attempt.record(error))
            attempt.close()
            raise
        else:
            return attempt
    assert failure is not None, "a route has at least one target"  # noqa: S101
    raise failure


def with_defaults(request: TurnRequest, route: Route) -> TurnRequest:
    """Return the request with the route's parameters where it sets none of its own, and what only a route may say."""
    return msgspec.structs.replace(
        request,
        params={**route.params, **request.params},
        prompt_caching=route.prompt_caching,
        reasoning_content=route.reasoning_content,
    )
