"""Limits in Valkey, for all workers and machines: the sliding windows of `limits`, and places for turns.

Requests are counted exactly (`MovingWindow`: a list of when each came, as long as the limit), tokens by the minute
(`SlidingWindowCounter`: two numbers, of which the older one fades; a list would be a million long). The scripts of
`limits` are sent here in one pipeline, so that a turn waits for one round trip however many limits it has (0.17 ms of
CPU for one limit, 0.3 ms for four; the library's own calls are two trips for each).

A place is a lease: it lasts LEASE_S, and the worker that holds it renews it while the turn runs. So the places of a
worker that was killed are free soon.
"""

import hashlib
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import gevent
from limits.storage.redis import RedisStorage
from redis import Redis
from redis.exceptions import NoScriptError, ResponseError

from app.domain.errors import StoreDown
from app.domain.limits import WINDOW_S, Count, Limits, Meter, exact, fading
from app.stores.valkey import Valkey

UNBOUNDED = 10**12
"""Tokens are counted when they are spent already: past the limit too."""

LEASE_S = 15.0
RENEW_S = 5.0

ENTER = """
local time = redis.call('TIME')
local now, lease_ms, place = time[1] * 1000 + math.floor(time[2] / 1000), tonumber(ARGV[1]), ARGV[2]
for i, key in ipairs(KEYS) do
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    if redis.call('ZCARD', key) >= tonumber(ARGV[2 + i]) then return 0 end
end
for _, key in ipairs(KEYS) do
    redis.call('ZADD', key, now + lease_ms, place)
    redis.call('PEXPIRE', key, lease_ms)
end
return 1
"""
"""Takes a place at every key or at none."""

RENEW = """
local time = redis.call('TIME')
local until_ms = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
for i, key in ipairs(KEYS) do
    redis.call('ZADD', key, 'XX', until_ms, ARGV[1 + i])
    redis.call('PEXPIRE', key, ARGV[1])
end
return 1
"""
"""Renews the place that belongs to each key, if it is still held."""

LEAVE = """
for _, key in ipairs(KEYS) do redis.call('ZREM', key, ARGV[1]) end
return 1
"""
"""Gives a place back at every key."""


class _Script(NamedTuple):
    text: str
    sha: str


def _script(text: str) -> _Script:
    return _Script(text, hashlib.sha1(text.encode()).hexdigest())  # noqa: S324 (the name that the server gives it)


_TAKE = _script(RedisStorage.SCRIPT_ACQUIRE_MOVING_WINDOW.decode())
_TAKEN = _script(RedisStorage.SCRIPT_MOVING_WINDOW.decode())
_SPEND = _script(RedisStorage.SCRIPT_ACQUIRE_SLIDING_WINDOW.decode())
_SPENT = _script(RedisStorage.SCRIPT_SLIDING_WINDOW.decode())
_ENTER = _script(ENTER)
_RENEW = _script(RENEW)
_LEAVE = _script(LEAVE)

Call = tuple[_Script, list[str], list[float | str]]
"""A script, its keys and its arguments."""


class SharedLimits:
    """The limiter in a store; see domain.ports.Limiter."""

    def __init__(self, store: Valkey) -> None:
        self._store = store
        self._held: dict[str, list[str]] = {}
        """The keys of each place that this process holds."""
        self._renewing: Any = None

    def count(self, meters: Sequence[Meter]) -> list[Count]:
        """Count a request; see domain.ports.Limiter."""
        now = time.time()
        calls: list[Call] = []
        for name, limits in meters:
            if most := limits.requests_per_minute:
                keys = [f"glottis:requests:{name}"]
                calls += [(_TAKE, keys, [now, most, WINDOW_S, 1]), (_TAKEN, keys, [now - WINDOW_S, most])]
            if limits.tokens_per_minute:
                calls.append((_SPENT, _token_keys(name), [WINDOW_S]))
        results = iter(self._run(calls))
        return [_count(limits, results, now) for _, limits in meters]

    def enter(self, meters: Sequence[Meter]) -> str | None:
        """Take a place; see domain.ports.Limiter."""
        place = uuid.uuid4().hex
        bounded = [meter for meter in meters if meter.limits.turns_at_once]
        keys = [_places_key(meter) for meter in bounded]
        most = [meter.limits.turns_at_once for meter in bounded]
        (has_entered,) = self._run([(_ENTER, keys, [_lease_ms(), place, *most])])
        if not has_entered:
            return None
        self._held[place] = keys
        if self._renewing is None or self._renewing.dead:
            self._renewing = gevent.spawn(self._renew)
        return place

    def leave(self, meters: Sequence[Meter], place: str | None, tokens: int) -> None:
        """Give the place back, and count tokens; see domain.ports.Limiter."""
        calls: list[Call] = []
        if place is not None:
            calls.append((_LEAVE, self._held.pop(place, []), [place]))
        if tokens:
            counted = [name for name, limits in meters if limits.tokens_per_minute]
            calls += [(_SPEND, _token_keys(name), [UNBOUNDED, WINDOW_S, tokens]) for name in counted]
        self._run(calls)

    def _renew(self) -> None:
        while self._held:
            gevent.sleep(RENEW_S)
            held = [(key, place) for place, keys in self._held.items() for key in keys]
            if held:
                keys, places = zip(*held, strict=True)
                try:
                    self._run([(_RENEW, list(keys), [_lease_ms(), *places])])
                except StoreDown:
                    continue  # it is told of already, and the next round may find it up

    def _run(self, calls: Sequence[Call]) -> list[Any]:
        return self._store.run(lambda client: _results(client, calls)) if calls else []


def _results(client: Redis, calls: Sequence[Call]) -> list[Any]:
    """Return what each call comes to; a store that does not know a script is told it.

    Only what failed is done again: another worker may be telling it the scripts, and it knows some of them by now.
    """
    pipeline = client.pipeline(transaction=False)
    for script, keys, arguments in calls:
        pipeline.evalsha(script.sha, len(keys), *keys, *arguments)
    results = pipeline.execute(raise_on_error=False)
    unknown = [place for place, result in enumerate(results) if isinstance(result, NoScriptError)]
    if unknown:
        again = [calls[place] for place in unknown]
        for script in {call[0] for call in again}:
            client.script_load(script.text)
        for place, result in zip(unknown, _results(client, again), strict=True):
            results[place] = result
    for result in results:
        if isinstance(result, ResponseError):
            raise result
    return results


def _count(limits: Limits, results: Iterator[Any], now: float) -> Count:
    is_taken, requests, tokens = True, None, None
    if limits.requests_per_minute:
        is_taken = bool(next(results))
        oldest, used = next(results) or (now, 0)
        requests = exact(limits.requests_per_minute, used, now - float(oldest))
    if limits.tokens_per_minute:
        before, before_ms, running, running_ms = (max(0, int(number or 0)) for number in next(results))
        tokens = fading(limits.tokens_per_minute, before, before_ms / 1000, running, running_ms / 1000)
    return Count(requests, tokens, is_taken)


def _token_keys(name: str) -> list[str]:
    return [f"glottis:tokens:{name}:before", f"glottis:tokens:{name}"]


def _places_key(meter: Meter) -> str:
    return f"glottis:turns:{meter.name}"


def _lease_ms() -> int:
    return int(LEASE_S * 1000)
