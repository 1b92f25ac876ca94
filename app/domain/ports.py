"""Ports: what the engine asks of the world, as protocols."""

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from app.domain.events import Events, ToolCall, Usage
from app.domain.limits import Count, Meter
from app.domain.request import JSON, TurnRequest
from app.domain.turn import End, TurnRecord


class Model(Struct, frozen=True):
    """A model that a provider offers; `created` is in Unix seconds, 0 where the provider does not say."""

    id: str
    created: int = 0
    owned_by: str = ""


class Provider(Protocol):
    """A place that answers turns: a vendor, a server, the embedded model, or a user's own function."""

    name: str

    def stream(self, request: TurnRequest, model: str) -> Events:
        """Answer a turn with one of this provider's models.

        Raises a ProviderError, from the first step on, when the provider fails: an answer that ends without a Finish
        was cut, and says so by ProviderBroken. Closing the generator ends the upstream call.
        """
        ...

    def first_token_s(self, request: TurnRequest, model: str) -> float | None:
        """How long this model may well think before its first word, seconds; None if it does not think."""
        ...

    def heeds_temperature(self, request: TurnRequest, model: str) -> bool:
        """Whether this model is told the temperature that the request sets."""
        ...

    def models(self) -> list[Model]:
        """The models it offers, asked anew; raises ProviderError. May block for as long as its time-outs allow."""
        ...


class Cache(Protocol):
    """Keeps answers for a while, as bytes. What cannot be read or written is not there: it never raises."""

    def get(self, key: str) -> bytes | None:
        """Return what was put under this key, if it is still there."""
        ...

    def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keep a value for so many seconds, or for less."""
        ...


class Fleet(Protocol):
    """The workers that share a store, by name. Where the store cannot be reached, each is alone; nothing raises."""

    @property
    def name(self) -> str:
        """The own one, in this process."""
        ...

    @property
    def is_listening(self) -> bool:
        """Whether this worker hears, just now, what it is told."""
        ...

    def listen(self, take: Callable[[bytes], None], begun: Callable[[], None]) -> None:
        """From now on give what this worker is told to `take`, which must not block; again is fine.

        `begun` is called whenever it begins to hear, after which it may have missed something.
        """
        ...

    def claim(self, key: str, ttl_s: float, instead_of: str = "") -> str:
        """Return who has this key: whoever was the first, this worker if nobody is or only `instead_of`."""
        ...

    def release(self, key: str) -> None:
        """Let others claim what this worker has; returns at once."""
        ...

    def tell(self, worker: str, message: bytes) -> bool:
        """Tell one worker something; whether it is there to hear it."""
        ...

    def tell_all(self, message: bytes) -> None:
        """Tell all workers something, this one too; returns at once, and keeps the order."""
        ...


CostOf = Callable[[str, Usage], float | None]
"""What a target, as `provider/model`, asks for so many tokens, in US dollars; None where nobody knows."""


class Caller(Protocol):
    """Who waits for an answer, in a greenlet of their own."""

    came_at: float
    """When their request came (monotonic)."""
    gone_at: float | None
    """When their going ended their waiting (monotonic); None while they stay, or are detained."""
    detained: Callable[[], bool]
    """Asked when the caller has gone: while it is true, CallerGone is not raised, because others need the greenlet."""

    def release(self) -> None:
        """Raise CallerGone now, if the caller has gone."""
        ...

    def hang_up(self) -> None:
        """Close the connection of a caller who takes nothing any more."""
        ...


class Listener(Protocol):
    """Hears what was said in every turn; there is one only where an operator asks for it by name."""

    def turn_said(self, request: TurnRequest, answer: str, tool_calls: Sequence[ToolCall]) -> None:
        """Take note of what a turn came to, tool calls in pieces as they came; must neither block nor raise."""
        ...


class Observer(Protocol):
    """Hears of every turn, once, when it ends."""

    def turn_ended(self, record: TurnRecord) -> None:
        """Take note of a turn; must neither block nor raise."""
        ...


class Store(Protocol):
    """What workers and machines share, and may be down."""

    is_up: bool
    """Whether it answered when it was last asked; while it did not, it is asked again in the background."""
    failures: int
    """How often this process could not do what it wanted of it."""

    def ping(self) -> bool:
        """Whether it answers now, and takes what is written to it."""
        ...


class Limiter(Protocol):
    """Where uses are counted, in this process or for all. Everything here raises StoreDown, and none of it may hang."""

    def count(self, meters: Sequence[Meter]) -> list[Count]:
        """Count a request at every meter that has room for it; tell what each says."""
        ...

    def enter(self, meters: Sequence[Meter]) -> str | None:
        """Take a place for a turn at every meter, or none if one is full; return its name, for `leave`."""
        ...

    def leave(self, meters: Sequence[Meter], place: str | None, tokens: int) -> None:
        """Give a turn's place back, if it had one, and count the tokens it used, whether or not there was room."""
        ...


class Log(Protocol):
    """Where a room tells of itself that must not know telemetry."""

    def __call__(self, level: int, event: str, **fields: object) -> None:
        """Write one line; the level is logging's, and the fields hold neither content nor keys."""
        ...


class Resident(Protocol):
    """What lives in a worker beside the turns, from after the fork until the worker ends."""

    def start(self) -> None:
        """Begin; must not block."""
        ...

    def stop(self) -> None:
        """End within a second, and keep what is to be kept."""
        ...


class TurnQuery(Struct, frozen=True, kw_only=True):
    """Which turns of the record are asked for, the newest first; None asks for all."""

    conversation: str | None = None
    request_id: str | None = None
    since: float | None = None
    """Unix seconds: that began then or later."""
    until: float | None = None
    """Unix seconds: that began earlier."""
    end: End | None = None
    limit: int = 20
    after: str | None = None
    """The id of a turn: those that began before it."""


class TurnPage(Struct, frozen=True):
    """A part of what a query found, and whether there is more."""

    turns: list[JSON]
    has_more: bool


class TurnArchive(Protocol):
    """Where turns are on record."""

    def find(self, query: TurnQuery) -> TurnPage:
        """Return the turns that a query asks for; raises RecordsUnavailable."""
        ...
