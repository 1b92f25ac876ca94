"""Whether the machine stood still: a virtual one is stopped now and then, for longer than a budget of these tests."""

import threading
import time
from types import TracebackType
from typing import Self

BEAT_S = 0.02
STALL_S = 0.25


class Pulse:
    """Beats from entering to leaving, and knows when it could not."""

    def __init__(self) -> None:
        self._stalls: list[tuple[float, float]] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="pulse", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ending.set()
        self._thread.join()

    def stalled(self, began_at: float, took_s: float) -> bool:
        """Whether there was a stall in this time, which began at a `time.monotonic()`."""
        return any(start < began_at + took_s and end > began_at for start, end in self._stalls)

    def _beat(self) -> None:
        last = time.monotonic()
        while not self._ending.wait(BEAT_S):
            now = time.monotonic()
            if now - last > STALL_S:
                self._stalls.append((last, now))
            last = now
