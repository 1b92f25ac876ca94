"""Callers who hold connections: each sends its request a byte at a time, or not at all, until it is cut off."""

import contextlib
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

STEP_S = 0.2


class Slow:
    """One caller: what it sends at once, what it then trickles, and what came of it."""

    def __init__(self, at_once: bytes, trickle: bytes = b"") -> None:
        self.at_once = at_once
        self.trickle = cycle(trickle) if trickle else None
        self.heard = b""
        self.lasted_s: float | None = None
        """From the connection to its end; None as long as it is open."""

    def begin(self, port: int) -> None:
        """Connect, and send what comes at once."""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.began_at = time.monotonic()
        self.socket.sendall(self.at_once)
        self.socket.setblocking(False)

    def go_on(self) -> None:
        """Send a byte."""
        if self.trickle is not None and self.lasted_s is None:
            with contextlib.suppress(OSError):
                self.socket.send(bytes([next(self.trickle)]))

    def listen(self) -> None:
        """Take what came, or the end."""
        data = b""
        with contextlib.suppress(ConnectionResetError):
            data = self.socket.recv(65536)
        self.heard += data
        if not data:
            self.lasted_s = time.monotonic() - self.began_at


def hold(port: int, callers: Sequence[Slow], meanwhile: Callable[[], None], longest_s: float) -> None:
    """Let all of them begin, do something meanwhile, and return when the last one has been cut off, or it is too long.

    Raises what `meanwhile` raises.
    """
    selector = selectors.DefaultSelector()
    for caller in callers:
        caller.begin(port)
        selector.register(caller.socket, selectors.EVENT_READ, caller)
    with ThreadPoolExecutor(1) as pool:
        others = pool.submit(meanwhile)
        until = time.monotonic() + longest_s
        while not (others.done() and not selector.get_map()) and time.monotonic() < until:
            _listen(selector, time.monotonic() + STEP_S)
            for caller in callers:
                caller.go_on()
        others.result()
    for caller in callers:
        caller.socket.close()


def _listen(selector: selectors.BaseSelector, until: float) -> None:
    while (remaining := until - time.monotonic()) > 0:
        for key, _ in selector.select(remaining):
            key.data.listen()
            if key.data.lasted_s is not None:
                selector.unregister(key.fileobj)
