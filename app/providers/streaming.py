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
    except RecursionError as error:  # nothing of ours recurses: it is what came that is nested
        raise ProviderBroken(detail="the answer is nested too deeply") from error
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
            headers = {name.lower(): value.decode("latin-1") for name, value in reply.headers}
            _refuse_compressed(headers)
            decoder = Decoder()
            while data := body.read():
                for payload in decoder.feed(data):
                    yield from reader.read(payload)
                    if reader.done:  # what came in the same packet behind the end is no part of the answer
                        break
                if reader.done:
                    break
            else:
                for payload in decoder.flush():
                    yield from reader.read(payload)
            yield from _ended(reader, headers)
    finally:
        if body is not None:
            try:
                if reader.done:
                    body.drain()
            finally:  # a caller may go while the end is awaited
                body.close()


def _refuse_compressed(headers: dict[bytes, str]) -> None:
    if headers.get(b"content-encoding", "identity") != "identity":
        raise ProviderBroken(detail="answered with a compressed stream, unasked")


def _ended(reader: Reader, headers: dict[bytes, str]) -> Iterator[Event]:
    """Yield the last events. A page or JSON ends here, as no answer; a stream that is only called so was read."""
    try:
        yield from reader.finish()
    except ProviderBroken as error:
        error.detail = f"{error.detail}; its content-type is {headers.get(b'content-type', 'missing')}"
        raise
