"""Where an answer comes from, before any target is asked: the cache, or another worker that makes it already.

Whoever listens to another worker's answer can make it too. If that worker is lost before a word, it is; if after, the
rest is asked for, as of a target that broke off; and if that cannot be, the answer has ended with an error.
"""

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import gevent
import msgspec

from app.domain.config import Route
from app.domain.errors import ProviderBroken
from app.domain.events import Event, Events
from app.engine.cache import Recall, recall_of, recorded, replayed
from app.engine.following import Following, Lost
from app.engine.messages import error_of
from app.engine.patience import Patience
from app.engine.tally import estimated_usage

if TYPE_CHECKING:
    from app.engine.answer import Answer

MOST_LEADERS = 3
"""So many workers are listened to, one after the other, before this one makes the answer whoever else does."""


def source(answer: "Answer", route: Route, patience: Patience) -> Iterator[Event]:
    """Return the events of an answer, wherever it comes from."""
    recall = recall_of(answer.request, route, answer.means.cache)
    if recall is None:
        return _made(answer, route, patience)
    if kept := recall.read():
        answer.cache = "hit"
        answer.claim_costs()  # there are none
        return answer.noted(replayed(kept, patience, is_streamed=answer.request.stream))
    answer.cache = "miss"
    return _kept(answer, recall, route, patience)


def _kept(answer: "Answer", recall: Recall, route: Route, patience: Patience) -> Iterator[Event]:
    """Yield a new answer, and let the cache keep it if it is a good one."""
    events: list[Event] = []
    yield from recorded(_made(answer, route, patience), events)
    if answer.is_good:
        # By then the last byte is with the caller: it is sent before anybody else has a turn.
        gevent.spawn(_keep, answer, recall, events, route)


def _keep(answer: "Answer", recall: Recall, events: list[Event], route: Route) -> None:
    if answer.attempt is not None:  # what another worker made is kept by that one
        target = answer.attempt.target
        provider = answer.means.providers[target.provider]
        if route.cache_any_temperature or provider.heeds_temperature(answer.request, target.model):
            recall.write(events)


def _made(answer: "Answer", route: Route, patience: Patience) -> Events:
    following = _look_for(answer, route)
    return answer.made(route, patience) if following is None else _followed(answer, following, route, patience)


def _look_for(answer: "Answer", route: Route, instead_of: str = "") -> Following | None:
    if answer.key is None or answer.means.exchange is None:
        return None
    return answer.means.exchange.look_for(answer.key, route.budget.total_s, instead_of)


def _followed(answer: "Answer", following: Following | None, route: Route, patience: Patience) -> Events:
    """Yield another worker's answer; where that is lost, make it, or the rest of it."""
    for _ in range(MOST_LEADERS):
        if following is None or answer.first_speakable_at is not None:
            break
        answer.is_followed = answer.is_accounted = True
        if (yield from _heard(answer, following, patience)):
            return
        answer.is_followed = False  # while one asks: others may hear that it is ours before we do
        following = _look_for(answer, route, instead_of=following.leader)
    answer.is_followed = answer.is_accounted = False
    yield from _rest(answer, route, patience)


def _heard(answer: "Answer", following: Following, patience: Patience) -> Generator[Event, None, bool]:
    """Yield what another worker says, and return whether that was all; raises what ended the answer there."""
    try:
        yield from answer.noted(following.events(patience))
    except Lost:
        return False
    finally:
        following.close()
        _learn(answer, following)
    return True


def _rest(answer: "Answer", route: Route, patience: Patience) -> Iterator[Event]:
    """Yield what is missing of an answer whose worker is lost; raises ProviderBroken where that cannot be had."""
    said = answer.tally.text
    if answer.tally.finish is not None:
        yield estimated_usage(answer.request, len(said))
    elif answer.first_speakable_at is None:
        yield from answer.made(route, patience)
    elif answer.may_go_on(patience):
        answer.resumes += 1
        budget = msgspec.structs.replace(route.budget, filler_after_s=0.0)  # there is none in mid-answer
        yield from answer.made(msgspec.structs.replace(route, budget=budget), patience, said)
    else:
        raise ProviderBroken(detail="the worker that made the call is gone")


def _learn(answer: "Answer", following: Following) -> None:
    """Take note of what an answer went through elsewhere."""
    if following.request_id:
        answer.request = msgspec.structs.replace(answer.request, request_id=following.request_id)
    if ending := following.ending:
        answer.told_target = ending.target
        answer.past += ending.attempts
        answer.resumes += ending.resumes
        answer.is_accounted = not ending.accounts
        if ending.apologised_for is not None:
            answer.failure = error_of(ending.apologised_for)
