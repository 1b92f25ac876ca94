"""One upstream answer, from bytes to events: the loop that every provider with a server shares."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from app.domain.errors import ProviderBroken, ProviderError
from app.domain.events import Event, Events, Text
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


BROKEN: dict[type[BaseException], str] = {
    EventTooLongError: "an event of the stream has no end",
    RecursionError: "the answer is nested too deeply",
}
"""What is wrong with an answer that cannot be read. Nothing of ours recurses: it is what came that is nested."""

SPOKEN_CHARS = 120
"""A voice has begun by then: ElevenLabs speaks at a sentence's end, and at the latest when it has so many characters
(`chunk_length_schedule`)."""


def stream_events(call: Callable[[], tuple[Reply, Body]], reader: Reader, beat_s: float = 0.0) -> Events:
    """Make the call and yield the events of its answer; raises ProviderError.

    With `beat_s` it is read in step with others once SPOKEN_CHARS have been said; see beat.py.
    """
    body: Body | None = None
    unspoken = SPOKEN_CHARS if beat_s else 0
    try:
        reply, body = call()
        del call  # which holds the request: an answer may be long, and a worker has thousands of them
        if reply.headers.get(b"content-encoding", b"identity") != b"identity":
            raise ProviderBroken(detail="answered with a compressed stream, unasked")
        content_type = reply.headers.get(b"content-type", b"missing").decode("latin-1")
        reply.headers.clear()  # 3 KB a stream, with all that a provider's edge adds
        decoder = Decoder()
        while not reader.done and (data := body.read()):
            payloads = decoder.feed(data)
            events = reader.read(payloads[0]) if len(payloads) == 1 else _read_together(reader, payloads)
            if unspoken <= 0:
                yield from events
                continue
            for event in events:
                if type(event) is Text:
                    unspoken -= len(event.text)
                yield event
            if unspoken <= 0:
                body.keep_step(beat_s)
        yield from _ended(reader, decoder, content_type)
    except tuple(BROKEN) as error:
        raise ProviderBroken(detail=BROKEN[type(error)]) from error
    finally:
        if body is not None:
            try:
                if reader.done:
                    body.drain()
            finally:  # a caller may go while the end is awaited
                body.close()


def _read_together(reader: Reader, payloads: list[bytes]) -> Iterator[Event]:
    """Yield the events of payloads that came in one packet, words that follow each other as one event.

    A worker that is behind finds several chunks at every read: they cost it little more than one then, so that it
    catches up. 1000 streams of 50 chunks a second in one worker fell behind by 170 ms (p99) instead of 290.
    """
    words: list[str] = []
    try:
        for payload in payloads:
            for event in reader.read(payload):
                if type(event) is Text and event.logprobs is None:
                    words.append(event.text)
                    continue
                if words:
                    yield Text("".join(words))
                    words.clear()
                yield event
            if reader.done:  # what came in the same packet behind the end is no part of the answer
                break
    except ProviderError:
        if words:
            yield Text("".join(words))  # they came before it
        raise
    if words:
        yield Text("".join(words))


def _ended(reader: Reader, decoder: Decoder, content_type: str) -> Iterator[Event]:
    """Yield the last events. A page or JSON ends here, as no answer; a stream that is only called so was read."""
    if not reader.done:
        yield from _read_together(reader, decoder.flush())
    try:
        yield from reader.finish()
    except ProviderBroken as error:
        error.detail = f"{error.detail}; its content-type is {content_type}"
        raise
