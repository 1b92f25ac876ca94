"""The caller's side of a turn: what was heard, and when."""

import http.client
import itertools
import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from gateway import KEY, Gateway

JSON = dict[str, Any]
_numbers = itertools.count()


def tool(name: str) -> JSON:
    """Offer a tool."""
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}


class Turn(NamedTuple):
    """A request that a test looks at: see `asks`."""

    route: str
    stream: bool = True
    tools: tuple[str, ...] = ()
    include_usage: bool = False

    def ask(self, gateway: Gateway) -> "Heard":
        """Ask for it."""
        fields: JSON = {"tools": [tool(name) for name in self.tools]} if self.tools else {}
        if self.include_usage and self.stream:
            fields["stream_options"] = {"include_usage": True}
        return ask(gateway, self.route, stream=self.stream, **fields)


BOTH_WAYS = (True, False)


def asks(*routes: str, stream: Sequence[bool] = (True,), **options: Any) -> pytest.MarkDecorator:
    """Let the fixture `heard` be the answer of each of these routes; all of a module's are asked for at the start."""
    turns = [Turn(route, way, **options) for route in routes for way in stream]
    ids = [f"{turn.route}{'' if turn.stream else '-whole'}" for turn in turns]
    return pytest.mark.parametrize("turn", turns, ids=ids)


def new_mark(what: str = "turn") -> str:
    """Name a turn that no other has the name of."""
    return f"{what}-{os.getpid()}-{next(_numbers)}"


@dataclass
class Heard:
    """An answer as it arrived; times are seconds since the request was sent."""

    mark: str
    began_at: float
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    headers_s: float = 0.0
    events: list[tuple[float, Any]] = field(default_factory=list)
    """Of a stream: when each event came, and what it was: an object, or the string [DONE]."""
    body: Any = None
    took_s: float = 0.0

    @property
    def streamed(self) -> bool:
        """Whether it came as a stream."""
        return self.headers.get("content-type", "").startswith("text/event-stream")

    @property
    def choices(self) -> list[tuple[float, JSON]]:
        """The choice of each chunk that has one."""
        chunks = [(at, event) for at, event in self.events if event != "[DONE]"]
        return [(at, event["choices"][0]) for at, event in chunks if event.get("choices")]

    @property
    def pieces(self) -> list[tuple[float, str]]:
        """The words, piece by piece; empty ones too."""
        deltas = [(at, choice["delta"]) for at, choice in self.choices]
        return [(at, delta["content"]) for at, delta in deltas if "role" not in delta and "content" in delta]

    @property
    def text(self) -> str:
        """All that was said."""
        if self.streamed:
            return "".join(text for _, text in self.pieces)
        return (self.body["choices"][0]["message"]["content"] or "") if "choices" in self.body else ""

    @property
    def first_word_s(self) -> float:
        """When the first word was there."""
        return next(at for at, text in self.pieces if text)

    @property
    def roles(self) -> int:
        """How often the role came."""
        return sum("role" in choice["delta"] for _, choice in self.choices)

    @property
    def finishes(self) -> list[str]:
        """Every finish reason."""
        choices = [choice for _, choice in self.choices] if self.streamed else self.body.get("choices", [])
        return [choice["finish_reason"] for choice in choices if choice["finish_reason"]]

    @property
    def error(self) -> JSON | None:
        """The error, in the stream or in place of an answer."""
        found = [event["error"] for _, event in self.events if event != "[DONE]" and "error" in event]
        assert len(found) <= 1, found
        return found[0] if found else (self.body or {}).get("error")

    @property
    def done(self) -> bool:
        """Whether the stream ended with [DONE]."""
        return bool(self.events) and self.events[-1][1] == "[DONE]"

    @property
    def usage(self) -> JSON:
        """The usage that was told, once."""
        if not self.streamed:
            usage: JSON = self.body["usage"]
            return usage
        (usage,) = [event["usage"] for _, event in self.events if event != "[DONE]" and event.get("usage")]
        return usage

    def is_whole(self) -> None:
        """Assert that it is one complete answer: one id, one role, one finish, one [DONE], no error."""
        assert self.status == 200, self.body
        assert self.error is None
        assert len(self.finishes) == 1
        if self.streamed:
            assert self.roles == 1
            assert [event for _, event in self.events].count("[DONE]") == 1
            assert self.done
            assert len({event["id"] for _, event in self.events if event != "[DONE]"}) == 1

    def is_broken_off(self) -> None:
        """Assert that it says to be no complete answer: an error status, or an error event without finish and end."""
        assert self.error is not None
        assert set(self.error) == {"message", "type", "param", "code"}
        assert self.finishes == []
        if self.streamed:
            assert self.status == 200
            assert self.roles == 1
            assert "[DONE]" not in [event for _, event in self.events]
            assert "error" in self.events[-1][1]
        else:
            assert self.status >= 400


def body_of(model: str, mark: str, *, stream: bool, user: str = "tell me about the practice", **fields: Any) -> bytes:
    """Make the body of a request; the mark stands in front of what the user says first."""
    messages = fields.pop("messages", [{"role": "user", "content": f"{mark}: {user}"}])
    return json.dumps({"model": model, "messages": messages, "stream": stream, **fields}).encode()


def headers_of(mark: str, key: str = KEY) -> dict[str, str]:
    """Make the headers of a request: the conversation has the name of the turn."""
    return {"Content-Type": "application/json", "Authorization": f"Bearer {key}", "X-Conversation-Id": mark}


def ask(
    gateway: Gateway,
    model: str,
    mark: str | None = None,
    *,
    stream: bool = True,
    key: str = KEY,
    conversation: str | None = None,
    sent: threading.Event | None = None,
    **fields: Any,
) -> Heard:
    """Ask for a turn and listen to its end. `conversation` is the mark, unless given; `sent` is set once it is sent."""
    mark = mark or new_mark()
    heard = Heard(mark, time.monotonic())
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    try:
        headers = headers_of(mark if conversation is None else conversation, key)
        connection.request("POST", "/v1/chat/completions", body_of(model, mark, stream=stream, **fields), headers)
        if sent is not None:
            sent.set()
        response = connection.getresponse()
        heard.headers_s = time.monotonic() - heard.began_at
        heard.status = response.status
        heard.headers = {name.lower(): value for name, value in response.getheaders()}
        if heard.streamed:
            _listen(response, heard)
        else:
            heard.body = json.loads(response.read())
    finally:
        connection.close()
    heard.took_s = time.monotonic() - heard.began_at
    return heard


@contextmanager
def calling(glottis: Gateway, route: str, mark: str, *, stream: bool) -> Iterator[socket.socket]:
    """Ask, and leave the answer unread."""
    body = body_of(route, mark, stream=stream)
    headers = {"Host": "x", "Content-Length": str(len(body)), **headers_of(mark)}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection(("127.0.0.1", glottis.port), timeout=30) as sock:
        sock.sendall(f"POST /v1/chat/completions HTTP/1.1\r\n{head}\r\n".encode() + body)
        yield sock


def _listen(response: http.client.HTTPResponse, heard: Heard) -> None:
    for line in response:
        if line.startswith(b"data: "):
            data = line[6:].strip()
            event = "[DONE]" if data == b"[DONE]" else json.loads(data)
            heard.events.append((time.monotonic() - heard.began_at, event))


def line_of(gateway: Gateway, heard: Heard | str) -> JSON:
    """Return the turn's line of the log."""
    mark = heard if isinstance(heard, str) else heard.mark
    for line in reversed(gateway.lines):  # it is nearly always there, and not far from the end
        if isinstance(line, dict) and line.get("conversation_id") == mark:
            return line
    (line,) = gateway.turns(1, conversation_id=mark)
    return line


def targets_in(line: JSON) -> Sequence[str]:
    """The targets of a line's attempts, in order."""
    return [attempt["target"] for attempt in line["attempts"]]
