"""One upstream answer, from the SDK's response to events: the loop that every SDK-backed provider shares."""

from collections.abc import Callable, Iterable
from typing import Protocol

import httpx2

from app.domain.errors import ProviderBroken, ProviderError
from app.domain.events import Event, Events
from app.providers.sse import Decoder
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


def stream_events(
    call: Callable[[], httpx2.Response], reader: Reader, name_error: Callable[[Exception], ProviderError]
) -> Events:
    """Make the call and yield the events of its answer; whatever fails is raised as `name_error` names it."""
    body: Body | None = None
    try:
        response = call()
        body = response.extensions["body"]
        _expect_stream(response)
        decoder = Decoder()
        while not reader.done and (data := body.read()):
            for payload in decoder.feed(data):
                yield from reader.read(payload)
        if not reader.done:
            for payload in decoder.flush():
                yield from reader.read(payload)
        yield from reader.finish()
        body.drain()
    except ProviderError:
        raise
    except Exception as error:
        raise name_error(error) from error
    finally:
        if body is not None:
            body.close()


def _expect_stream(response: httpx2.Response) -> None:
    media_type = response.headers.get("content-type", "")
    if media_type.startswith(("application/json", "text/html")):
        raise ProviderBroken(detail=f"answered {media_type} where a stream was asked for")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise ProviderBroken(detail="answered with a compressed stream, unasked")
