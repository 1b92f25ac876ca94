"""Functions that fail in every way, with a secret in all that they say of it."""

import threading
from collections.abc import Iterator
from typing import Any

import gevent

from app.domain.events import ToolCall
from app.domain.request import TurnRequest

SECRET = "Zq7hush-function"


class Odd:
    """Something that nobody can say, and that fails when it is thrown away."""

    def __repr__(self) -> str:
        return SECRET

    def __del__(self) -> None:
        raise ValueError(SECRET)


class Harsh(BaseException):
    """What no `except Exception` keeps."""


def answer(request: TurnRequest) -> Iterator[Any]:
    """Answer well."""
    yield f"{SECRET}. {request.last_user_text} "
    yield ToolCall(0, None, SECRET, f'{{"{SECRET}": 1}}')


def at_once(request: TurnRequest) -> str:
    """Fail before there is an answer."""
    raise ValueError(SECRET)


def later(request: TurnRequest) -> Iterator[str]:
    """Fail in the middle, on behalf of another failure."""
    yield SECRET
    try:
        raise KeyError(SECRET)
    except KeyError as error:
        raise RuntimeError(SECRET) from error


def harshly(request: TurnRequest) -> Iterator[str]:
    """Fail with what is no Exception."""
    yield from ()
    raise Harsh(SECRET)


def oddly(request: TurnRequest) -> Iterator[Any]:
    """Yield what is no event."""
    yield Odd()


def beside(request: TurnRequest) -> Iterator[str]:
    """Let others fail, whom nobody waits for."""
    gevent.spawn(at_once, request)
    thread = threading.Thread(target=at_once, args=(request,))
    thread.start()
    thread.join()
    yield SECRET


def clinging(request: TurnRequest) -> Iterator[str]:
    """Fail when the answer is closed."""
    try:
        yield SECRET
        threading.Event().wait()
    finally:
        raise RuntimeError(SECRET)
