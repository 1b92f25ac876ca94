"""The work on one request: route, cache, repair, race, relay, and going on where an answer was cut.

It is a generator of events, which whoever wants the answer advances; closing it ends every upstream call.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Literal, NamedTuple

import msgspec

from app.domain.config import Route
from app.domain.errors import (
    ContextTooLong,
    GlottisError,
    ProviderError,
    ProviderModelNotFound,
    ProviderRequestRefused,
    unforeseen,
)
from app.domain.events import Event, Events, Filler, Finish, Text, Usage, is_speakable
from app.domain.ports import Cache, Provider
from app.domain.request import TurnRequest
from app.domain.turn import Attempt
from app.engine.attempt import LiveAttempt
from app.engine.breaker import Breaker
from app.engine.following import Elsewhere
from app.engine.patience import Patience
from app.engine.race import Race
from app.engine.relay import relay
from app.engine.repair import place_before_repair, repaired
from app.engine.routing import Router
from app.engine.seam import continuation
from app.engine.sources import source
from app.engine.tally import Tally

MISTAKES = (ProviderRequestRefused, ProviderModelNotFound)
"""What somebody must mend, and would not hear of under an apology."""


class Means(NamedTuple):
    """What all answers share."""

    router: Router
    providers: Mapping[str, Provider]
    breaker: Breaker
    phrases: "count[int]"
    """Whose turn it is among a route's fillers."""
    cache: Cache | None = None
    exchange: Elsewhere | None = None
    """Where the answers are that other workers make."""


class Answer:
    """What becomes of one request. It is over when its events are, and `close` ends it before."""

    def __init__(self, request: TurnRequest, means: Means, key: bytes | None = None) -> None:
        """Take the request, and the key by which its answer is shared; None where it is not."""
        self.request = request
        self.began_at = time.monotonic()
        self.tally = Tally()
        self.past: list[Attempt] = []
        self.attempt: LiveAttempt | None = None
        self.first_speakable_at: float | None = None
        self.resumes = 0
        self.failure: GlottisError | None = None
        """Why the caller heard the apology."""
        self.key = key
        self.means = means
        self.cache: Literal["hit", "miss"] | None = None
        """Whether the answer cache had it; None where it was not asked."""
        self.is_followed = False
        """Whether another worker makes it."""
        self.told_target: str | None = None
        """Who answered there."""
        self.is_accounted = False
        """Whether what it cost has been told, or is told elsewhere."""
        self._patience: Patience | None = None
        self.events = self._work()
        """The answer, from its first event to its usage; raises GlottisError where it fails or breaks off."""

    @property
    def target(self) -> str | None:
        """Who has answered, as `provider/model`."""
        return self.told_target if self.attempt is None else str(self.attempt.target)

    @property
    def is_good(self) -> bool:
        """Whether this is an answer that may be given again: whole, in words, and with nothing that went wrong."""
        tally = self.tally
        is_flawed = self.failure or self.resumes or tally.fillers or tally.tool_calls or tally.is_refusal
        is_whole = tally.finish is not None and tally.finish.reason == "stop"
        return is_whole and not is_flawed and any(map(str.strip, tally.said))

    def end(self, error: GlottisError) -> None:
        """Let the answer fail with this error, wherever it waits."""
        if self._patience is not None:
            self._patience.end(error)

    def claim_costs(self) -> bool:
        """Whether whoever asks is the first, and tells what the answer cost: of those that share it one alone does."""
        is_first, self.is_accounted = not self.is_accounted, True
        return is_first

    def close(self) -> None:
        """End every upstream call; may be called again."""
        self.events.close()

    def noted(self, events: Iterator[Event]) -> Events:
        """Yield the events of an answer that was made elsewhere, and count them."""
        for event in events:
            if isinstance(event, Usage):
                self.tally.usage = event
            elif isinstance(event, Filler):
                self.tally.fillers += 1
            else:
                self.tally.count(event)
                if self.first_speakable_at is None and is_speakable(event):
                    self.first_speakable_at = time.monotonic()
            yield event

    def made(self, route: Route, patience: Patience, said: str = "") -> Events:
        """Return the answer of a route's targets; what of it was `said` already is not said again."""
        request, messages = self.request, repaired(self.request.messages)
        if messages is not request.messages:
            request = msgspec.structs.replace(request, messages=messages)
        return self._answered(request, self._race(route, patience), patience, said)

    def _work(self) -> Events:
        try:
            route = self.means.router.resolve(self.request.model)
            self.request = with_defaults(self.request, route)
            self._patience = Patience(route.budget.idle_s, self.began_at + route.budget.total_s)
            yield from source(self, route, self._patience)
        except GlottisError:
            raise
        except Exception as error:
            raise unforeseen(error) from error
        finally:
            if self._patience is not None:
                self._patience.close()

    def _answered(self, request: TurnRequest, race: Race, patience: Patience, said: str) -> Events:
        asked = continuation(request, said) if said else request
        try:
            attempt = yield from race.run(asked)
        except ProviderError as failure:
            if said:
                raise
            yield from self._apology(failure, request)
            return
        self.first_speakable_at = self.first_speakable_at or attempt.first_speakable_at
        while True:
            self.attempt = attempt
            try:
                yield from relay(attempt, asked, self.tally, patience, said=said)
                break
            except ProviderError as cut:
                if not self.may_go_on(patience):
                    race.over(attempt, "cut", cut)
                    raise
                said = self.tally.text
                asked = continuation(request, said)
                try:
                    attempt = yield from race.go_on(attempt, cut, asked)
                except ProviderRequestRefused:
                    raise cut from None  # the caller's own request was fine
                self.resumes += 1
            except BaseException as error:
                race.over(attempt, "cut" if isinstance(error, Exception) else "left", error)
                raise
        race.over(attempt, "answered")
        yield self.tally.usage or Usage()

    def _race(self, route: Route, patience: Patience) -> Race:
        return Race(
            route.targets,
            route.budget,
            self.means.providers,
            self.means.breaker,
            patience,
            self.past,
            began_at=self.began_at,
            is_streamed=self.request.stream,
            filler=partial(self._phrase, route.budget.filler),
        )

    def _phrase(self, phrases: Sequence[str]) -> str:
        """Return what fills a silence, in turn with all other answers."""
        self.tally.fillers += 1
        return phrases[next(self.means.phrases) % len(phrases)]

    def may_go_on(self, patience: Patience) -> bool:
        """Whether what was said so far can be continued: words can, a call that has begun or a refusal cannot."""
        tally = self.tally
        is_words = bool(tally.text.strip()) and not (tally.tool_calls or tally.is_refusal)
        return self.request.budget.resume and is_words and not patience.is_over

    def _apology(self, failure: ProviderError, request: TurnRequest) -> Iterator[Event]:
        """Yield what is said when nobody answered; raises the failure where nothing is, or the request is at fault."""
        if isinstance(failure, ProviderRequestRefused):
            failure.param = place_before_repair(failure.param, request.messages, self.request.messages)
        apology = request.budget.apology
        is_ours_to_mend = isinstance(failure, MISTAKES) and not isinstance(failure, ContextTooLong)
        if not apology or is_ours_to_mend:
            raise failure
        self.failure = failure
        for event in (Text(apology), Finish("stop")):
            self.tally.count(event)
            yield event
        yield Usage(estimated=True)


def with_defaults(request: TurnRequest, route: Route) -> TurnRequest:
    """Return the request with the route's parameters where it sets none of its own, and what only a route may say."""
    return msgspec.structs.replace(
        request,
        params={**route.params, **request.params},
        cache_ttl_s=route.cache_ttl_s,
        prompt_caching=route.prompt_caching,
        reasoning_content=route.reasoning_content,
        budget=route.budget,
    )
