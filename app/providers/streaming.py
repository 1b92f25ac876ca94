"""One upstream answer, from bytes to events: the loop that every provider with a server shares."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from app.domain.errors import ProviderBroken
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


@contextlib.contextmanager
def _as_broken() -> Iterator[None]:
    """Raise what no reader can make sense of as the provider's failure."""
    try:
        yield
    except EventTooLongError as error:
        raise ProviderBroken(detail="an event of the stream has no end") from error
    except RecursionError as error:  # nothing of ours recurses: it is what came that is nested
        raise ProviderBroken(detail="the answer is nested too deeply") from error


def stream_events(call: Callable[[], tuple[Reply, Body]], reader: Reader) -> Events:
    """Make the call and yield the events of its answer; raises ProviderError."""
    body: Body | None = None
    try:
        with _as_broken():
            reply, body = call()
            headers = reply.named()
            if headers.get("content-encoding", "identity") != "identity":
                raise ProviderBroken(detail="answered with a compressed stream, unasked")
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


def _ended(reader: Reader, headers: Mapping[str, str]) -> Iterator[Event]:
    """Yield the last events. A page or JSON ends here, as no answer; a stream that is only called so was read."""
    try:
        yield from reader.finish()
    except ProviderBroken as error:
        error.detail = f"{error.detail}; its content-type is {headers.get('content-type', 'missing')}"
        raise
