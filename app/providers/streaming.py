"""One upstream answer, from the SDK's response to events: the loop that every SDK-backed provider shares."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from app.domain.errors import ProviderBroken, ProviderError
from app.domain.events import Event, Events
from app.providers.http1 import Reply
from app.providers.sse import Decoder, EventTooLongError
from app.providers.transport import Body


class Reader(Protocol):
    """Turns the payloads of one answer's stream into events."""

    done: bool

    def read(self, payload: bytes) -> Iterable[Event]:
        """Return the events of one payload; raises ProviderError for one that says so, or makes no sense."""
        ...

    def finish(self) -> Iterable[Event]:
        """Return the last events, at the end of the stream; raises ProviderBroken if the answer was not complete."""
        ...


ErrorTable = Callable[[Exception], ProviderError | None]
"""Names an SDK's exception in the domain's words; None for what is no failure of the provider."""


@contextlib.contextmanager
def naming(name_error: ErrorTable) -> Iterator[None]:
    """Raise what fails inside as `name_error` names it.

    What it has no name for is a fault of this server, and is raised as it is.
    """
    try:
        yield
    except ProviderError:
        raise
    except EventTooLongError as error:
        raise ProviderBroken(detail="an event of the stream has no end") from error
    except Exception as error:
        named = name_error(error)
        if named is None:
            raise
        raise named from error


def stream_events(call: Callable[[], tuple[Reply, Body]], reader: Reader, name_error: ErrorTable) -> Events:
    """Make the call and yield the events of its answer; what fails is raised as `name_error` names it."""
    body: Body | None = None
    try:
        with naming(name_error):
            reply, body = call()
            _expect_stream(reply)
            decoder = Decoder()
            while not reader.done and (data := body.read()):
                for payload in decoder.feed(data):
                    if reader.done:  # what came with the end, behind it, is no part of the answer
                        break
                    yield from reader.read(payload)
            if not reader.done:
                for payload in decoder.flush():
                    yield from reader.read(payload)
            yield from reader.finish()
    finally:
        if body is not None:
            if reader.done:
                body.drain()
            body.close()


def _expect_stream(reply: Reply) -> None:
    headers = {name.lower(): value.decode("latin-1") for name, value in reply.headers}
    media_type = headers.get(b"content-type", "")
    if media_type.startswith(("application/json", "text/html")):
        raise ProviderBroken(detail=f"answered {media_type} where a stream was asked for")
    if headers.get(b"content-encoding", "identity") != "identity":
        raise ProviderBroken(detail="answered with a compressed stream, unasked")
