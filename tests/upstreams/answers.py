"""Answers as scripts: what a scripted server sends, byte by byte, and when.

An `Answer` is a status, headers and steps. The steps in `before` are taken before the first byte of the head, those in
`steps` are the body. After the last step the body is ended as its framing wants, and the connection stays open.
"""

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.client import responses
from typing import TYPE_CHECKING, Any, Literal

from .connection import Connection

if TYPE_CHECKING:
    from .server import Recorded

Framing = Literal["chunked", "length", "close"]
Frame = Callable[[bytes], bytes]
_END = b"0\r\n\r\n"


@dataclass
class Send:
    """Send the bytes as one HTTP chunk, at once."""

    data: bytes

    def writes(self, frame: Frame) -> list[bytes]:
        """Nothing for no bytes: an empty HTTP chunk would end the body."""
        return [frame(self.data)] if self.data else []


@dataclass
class SendRaw:
    """Send the bytes as they are, without the framing of a chunk: odd packets, malformed framing."""

    data: bytes

    def writes(self, frame: Frame) -> list[bytes]:
        """Leave the framing out."""
        return [self.data] if self.data else []


@dataclass
class Split:
    """Send the bytes in many HTTP chunks of `size` bytes each, wherever that cuts a line or a character."""

    data: bytes
    size: int

    def writes(self, frame: Frame) -> list[bytes]:
        """One write for each chunk."""
        return [frame(self.data[at : at + self.size]) for at in range(0, len(self.data), self.size)]


@dataclass
class Wait:
    """Be slow for so many seconds; over at once when the client leaves."""

    seconds: float

    def play(self, connection: Connection) -> None:
        """Wait."""
        connection.wait(self.seconds)


@dataclass
class Hold:
    """Send nothing more, until the client leaves or the server closes."""

    def play(self, connection: Connection) -> None:
        """Wait for ever."""
        connection.wait()


@dataclass
class Gate:
    """Wait until the test sets the event."""

    event: threading.Event

    def play(self, connection: Connection) -> None:
        """Wait for the event."""
        connection.wait_for(self.event)


@dataclass
class Reset:
    """Break the connection with a TCP reset."""

    def play(self, connection: Connection) -> None:
        """Reset."""
        connection.reset()


@dataclass
class Cut:
    """Close the connection without ending the body."""

    def play(self, connection: Connection) -> None:
        """Close."""
        connection.cut()


Bytes = Send | SendRaw | Split
Moment = Wait | Hold | Gate | Reset | Cut
Step = Bytes | Moment


@dataclass
class Answer:
    """A scripted answer. Headers are sent as given; those that the framing needs are added unless they are there."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    framing: Framing = "chunked"
    before: list[Step] = field(default_factory=list)

    @classmethod
    def json(cls, body: Any, status: int = 200, headers: dict[str, str] | None = None, **kwargs: Any) -> "Answer":
        """Answer with JSON, of known length."""
        data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        headers = {"content-type": "application/json", **(headers or {})}
        return cls(status, headers, [Send(data)], "length", **kwargs)

    @classmethod
    def error(cls, status: int, body: Any, headers: dict[str, str] | None = None, **kwargs: Any) -> "Answer":
        """Answer with an error in JSON."""
        return cls.json(body, status, headers, **kwargs)

    @classmethod
    def html(cls, status: int, page: str = "<html><body>Bad gateway</body></html>", **kwargs: Any) -> "Answer":
        """Answer with a page of HTML, as proxies and load balancers give it."""
        return cls(status, {"content-type": "text/html"}, [Send(page.encode())], "length", **kwargs)

    @classmethod
    def empty(cls, status: int = 200, headers: dict[str, str] | None = None, **kwargs: Any) -> "Answer":
        """Answer with a head and no body at all."""
        return cls(status, headers or {}, [], "length", **kwargs)

    @classmethod
    def silent(cls) -> "Answer":
        """Send not one byte, on an open connection."""
        return cls(before=[Hold()])

    @classmethod
    def reset(cls) -> "Answer":
        """Reset the connection in place of the head."""
        return cls(before=[Reset()])

    @classmethod
    def cut(cls) -> "Answer":
        """Close the connection in place of the head."""
        return cls(before=[Cut()])

    def to(self, recorded: "Recorded") -> "Answer":
        """Fit the answer to this very request: for builders whose bytes depend on it."""
        return self

    def script(self) -> list[bytes | Moment]:
        """Everything that happens, in order: what is written, each in one write, and what is waited for."""
        frame = _chunk if self.framing == "chunked" else bytes
        script = [*_flat(self.before, bytes), self._head(), *_flat(self.steps, frame)]
        if self.framing == "chunked":
            # The end travels with the last bytes: else a client that closes on seeing those would, by chance of
            # timing, be recorded as one that left in mid-answer.
            last = script[-1]
            script[-1:] = [last + _END] if isinstance(last, bytes) else [last, _END]
        return script

    def _head(self) -> bytes:
        headers = {name.lower(): value for name, value in self.headers.items()}
        if self.framing == "chunked":
            headers.setdefault("transfer-encoding", "chunked")
        elif self.framing == "length":
            length = sum(len(data) for data in _flat(self.steps, bytes) if isinstance(data, bytes))
            headers.setdefault("content-length", str(length))
        else:
            headers.setdefault("connection", "close")
        lines = [f"HTTP/1.1 {self.status} {responses.get(self.status, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _flat(steps: Iterable[Step], frame: Frame) -> list[bytes | Moment]:
    flat: list[bytes | Moment] = []
    for step in steps:
        flat += step.writes(frame) if isinstance(step, Bytes) else [step]
    return flat


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
