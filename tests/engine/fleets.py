"""Workers that share a store, in one process: what they claim and tell each other, with faults where wanted."""

import time
from collections.abc import Callable

import gevent


class Sea:
    """Where the workers are: who is there, and who has claimed what."""

    def __init__(self) -> None:
        self.ships: dict[str, Ship] = {}
        self.claims: dict[str, tuple[str, float]] = {}
        self.told: list[tuple[str, bytes]] = []

    def ship(self, name: str) -> "Ship":
        """Let one more worker in."""
        return Ship(self, name)


class Ship:
    """One worker's view; see domain.ports.Fleet. Messages arrive in order, in a greenlet of their own."""

    def __init__(self, sea: Sea, name: str) -> None:
        self.name = name
        self.is_listening = False
        self.is_deaf = False
        self.claimed: list[str] = []
        self._sea = sea
        self._take: Callable[[bytes], None] | None = None

    def listen(self, take: Callable[[bytes], None], begun: Callable[[], None]) -> None:
        """Hear, from now on."""
        if self._take is None:
            self._take = take
            self.is_listening = True
            self._sea.ships[self.name] = self
            begun()

    def sink(self) -> None:
        """Be gone, as a killed process is: nothing arrives here, or is sent, any more."""
        self._sea.ships.pop(self.name, None)
        self.tell = lambda worker, message: False  # type: ignore[method-assign]
        self.tell_all = lambda message: None  # type: ignore[method-assign]

    def claim(self, key: str, ttl_s: float, instead_of: str = "") -> str:
        """Say who has it."""
        self.claimed.append(key)
        holder, until = self._sea.claims.get(key, ("", 0.0))
        if holder not in ("", self.name, instead_of) and time.monotonic() < until:
            return holder
        self._sea.claims[key] = (self.name, time.monotonic() + ttl_s)
        return self.name

    def release(self, key: str) -> None:
        """Let go of it."""
        self._sea.claims.pop(key, None)

    def tell(self, worker: str, message: bytes) -> bool:
        """Tell one."""
        self._sea.told.append((worker, message))
        ship = self._sea.ships.get(worker)
        if ship is not None:
            ship.hear(message)
        return ship is not None

    def tell_all(self, message: bytes) -> None:
        """Tell all, this one too."""
        for worker in tuple(self._sea.ships):
            self.tell(worker, message)

    def hear(self, message: bytes) -> None:
        """Take a message."""
        if self._take is not None and not self.is_deaf:
            gevent.spawn(self._take, message)
