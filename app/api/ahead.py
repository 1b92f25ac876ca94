"""What an answer needs when it begins is made before: while the model thinks, and the caller waits for none of it."""

from collections.abc import Callable
from typing import Generic, TypeVar

import gevent

Made = TypeVar("Made")


class Ahead(Generic[Made]):
    """Makes something as soon as this greenlet waits, or when it is asked for it.

    A callback of the loop that sets another one: so it comes after what is started until the greenlet waits, which is
    the call upstream. It runs in the hub, and must not wait.
    """

    def __init__(self, make: Callable[[], Made]) -> None:
        self._make = make
        self._made: Made | None = None
        loop = gevent.get_hub().loop
        loop.run_callback(loop.run_callback, self.get)

    def get(self) -> Made:
        """Return it."""
        if self._made is None:
            self._made = self._make()
        return self._made
