"""How often a caller may ask: checked after the key and before the desk takes the turn. Without limits nothing is here.

A request counts when it is asked, whatever becomes of it, so each of the copies that a platform sends of one turn does.
Tokens count when the turn is over, by what it really used: `max_tokens` is mostly far from it, and a refund is nothing
that a sliding window knows. A turn that runs when the limit is reached is never cut.

Who calls with a key is counted by the key; who calls without one, where that is allowed, by the address.
"""

import ipaddress
import math
from collections.abc import Iterator, Mapping, Sequence

import gevent
from flask import Flask, Response, request

from app.domain.errors import RateLimitExceeded, StoreDown, TokenLimitExceeded
from app.domain.limits import MARGIN_S, Count, Limits, Meter, Window
from app.domain.ports import Limiter
from app.domain.request import TurnRequest
from app.domain.turn import TurnRecord

NETWORK_BITS = 64
"""One household or server has all the addresses of such an IPv6 network."""

WAITS_S = (0.02, 0.05, 0.1, 0.1)
"""For a place. A caller who barges in sends the next turn while the last one is still being closed."""

FULL_RETRY_S = 1.0
"""When a caller may try again who has too many turns at once: nobody knows, and turns are short."""


class Gate:
    """Lets turns through, or raises RateLimitExceeded."""

    def __init__(self, limiter: Limiter, limits: Limits, routes: Mapping[str, Limits], *, fail_closed: bool) -> None:
        """Take where uses are counted, the limits of a caller, those by route, and whether a store must be up."""
        self._limiter = limiter
        self._limits = limits
        self._routes = routes
        self._fail_closed = fail_closed

    def admit(self, turn: TurnRequest) -> "Admission | None":
        """Return what is to hear of the turn's end, if anything; raises RateLimitExceeded, or StoreDown."""
        meters = self._meters(turn)
        try:
            counts = self._limiter.count(meters) if meters else []
            request.environ["glottis.limits"] = counts
            _check(counts)
            return self._entered(meters)
        except StoreDown:
            if self._fail_closed:
                raise
            return None

    def _meters(self, turn: TurnRequest) -> list[Meter]:
        caller = turn.caller or _network(request.remote_addr or "")
        meters = [Meter(caller, self._limits)] if self._limits else []
        if limits := self._routes.get(turn.model):
            meters.append(Meter(f"{caller}:{turn.model}", limits))
        return meters

    def _entered(self, meters: Sequence[Meter]) -> "Admission | None":
        most = [limits.turns_at_once for _, limits in meters if limits.turns_at_once]
        place = self._place(meters) if most else None
        if most and place is None:
            raise RateLimitExceeded(
                f"Rate limit reached for turns at once: limit {min(most)}. Please try again in {FULL_RETRY_S:.0f}s.",
                retry_after_s=FULL_RETRY_S,
            )
        if most or any(limits.tokens_per_minute for _, limits in meters):
            return Admission(self._limiter, meters, place)
        return None

    def _place(self, meters: Sequence[Meter]) -> str | None:
        place = self._limiter.enter(meters)
        for wait_s in WAITS_S:
            if place is not None:
                break
            gevent.sleep(wait_s)
            place = self._limiter.enter(meters)
        return place


class Admission:
    """A turn that was let through; hears of its end, as a domain.ports.Observer, or is closed without one."""

    def __init__(self, limiter: Limiter, meters: Sequence[Meter], place: str | None) -> None:
        self._limiter = limiter
        self._meters = meters
        self._place = place

    def turn_ended(self, record: TurnRecord) -> None:
        """Count what the turn used, and free its place."""
        usage = record.usage
        self._end(usage.prompt_tokens + usage.completion_tokens if usage is not None else 0)

    def close(self) -> None:
        """Free the place; may be called again."""
        self._end(0)

    def _end(self, tokens: int) -> None:
        place, self._place = self._place, None
        if tokens or place is not None:
            gevent.spawn(self._tell, place, tokens)  # nobody waits for it

    def _tell(self, place: str | None, tokens: int) -> None:
        try:
            self._limiter.leave(self._meters, place, tokens)
        except StoreDown:
            return  # the store has told of it


def admit(app: Flask, turn: TurnRequest) -> Admission | None:
    """Let a turn of this application through, or raise RateLimitExceeded or StoreDown; see Gate."""
    gate: Gate | None = app.extensions["glottis.gate"]
    return None if gate is None else gate.admit(turn)


def _network(address: str) -> str:
    """Return the address by which an anonymous caller is counted."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address  # a socket has none
    return str(ip) if ip.version == 4 else str(ipaddress.ip_network((ip, NETWORK_BITS), strict=False))


def _check(counts: Sequence[Count]) -> None:
    """Raise the error of the limit that has to be waited for longest, if one is reached."""
    over: list[tuple[float, type[RateLimitExceeded], str, int]] = []
    for count in counts:
        if count.requests is not None and not count.is_taken:
            over.append((count.requests.wait_s, RateLimitExceeded, "requests", count.requests.limit))
        if count.tokens is not None and not count.tokens.remaining:
            over.append((count.tokens.wait_s, TokenLimitExceeded, "tokens", count.tokens.limit))
    if over:
        wait_s, error, what, limit = max(over, key=lambda one: one[0])
        again = duration(max(1, math.ceil(wait_s)))
        raise error(
            f"Rate limit reached for {what} per minute: limit {limit}. Please try again in {again}.",
            retry_after_s=max(wait_s, MARGIN_S),
        )


def _tell_limits(response: Response) -> Response:
    counts: Sequence[Count] = request.environ.get("glottis.limits", ())
    for kind, windows in (
        ("requests", [count.requests for count in counts if count.requests is not None]),
        ("tokens", [count.tokens for count in counts if count.tokens is not None]),
    ):
        if windows:
            response.headers.update(_headers(kind, min(windows, key=lambda window: window.remaining)))
    return response


def _headers(kind: str, window: Window) -> Iterator[tuple[str, str]]:
    yield f"x-ratelimit-limit-{kind}", str(window.limit)
    yield f"x-ratelimit-remaining-{kind}", str(window.remaining)
    yield f"x-ratelimit-reset-{kind}", duration(window.reset_s)


def duration(seconds: float) -> str:
    """Return a time as OpenAI's headers have it: 6m0s, 1.5s, 120ms."""
    ms = round(seconds * 1000)
    if ms < 1000:
        return f"{ms}ms"
    minutes, rest_ms = divmod(ms, 60_000)
    rest = f"{rest_ms / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def init_app(app: Flask, gate: Gate | None) -> None:
    """Let turns pass this gate, if there is one."""
    app.extensions["glottis.gate"] = gate
    if gate is not None:
        app.after_request(_tell_limits)
