"""A provider that breaks in every way a real one does, in both wire formats: the model's name says how.

    with FaultyProvider() as provider:
        ...a turn whose first user message begins with "some-mark: "
        provider.attempts("some-mark")      who was asked for it, when, and when it was left

What a test calls `mark` names one turn: it keeps turns apart, whatever else goes on at the same time.
"""

import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from faults.table import FAULTS, Ask
from faults.wires import WIRES, Wire
from upstreams import Answer, AnthropicUpstream, OpenAIUpstream, Recorded


class FaultyProvider:
    """Both upstreams, with the table of faults, and what each turn asked of them."""

    def __init__(self) -> None:
        self.openai = _FaultyOpenAI(self)
        self.anthropic = _FaultyAnthropic(self)
        self.down: set[str] = set()
        """Targets, as `openai/healthy@name`, that answer 503 for as long as they stand here."""
        self._asked: defaultdict[str, list[Attempt]] = defaultdict(list)
        self._connections: set[tuple[str, int]] = set()
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        self.openai.__enter__()
        self.anthropic.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.openai.close()
        self.anthropic.close()

    def attempts(self, mark: str, count: int = 0, timeout_s: float = 5) -> "list[Attempt]":
        """Wait until a turn has asked so often, and return every attempt of it, in order."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._asked[mark]) >= count, timeout_s):
                raise AssertionError(f"{len(self._asked[mark])} of {count} attempts for {mark}")
            return list(self._asked[mark])

    def log(self, mark: str) -> str:
        """Tell of a turn's attempts: when each came and was left, in milliseconds since the first."""
        lines = []
        for attempt in (attempts := self.attempts(mark)):
            line = f"{attempt.wire.name}/{attempt.model} at {(attempt.at - attempts[0].at) * 1000:.1f} ms"
            if gone_at := attempt.recorded.client_gone_at:
                line += f", left at {(gone_at - attempts[0].at) * 1000:.1f} ms"
            lines.append(line)
        return "\n".join(lines)

    def wait_until_idle(self) -> None:
        """Wait until no answer is in progress."""
        self.openai.wait_until_idle()
        self.anthropic.wait_until_idle()

    def script(self, wire: Wire, recorded: Recorded) -> Callable[[], Answer] | None:
        """Take note of a request as it arrives, and return what the table has for it."""
        if recorded.method != "POST":
            return None
        attempt = Attempt(wire, recorded)
        with self._changed:
            asked = self._asked[attempt.mark]
            attempt.time = sum(before.model == attempt.model for before in asked)
            attempt.is_on_new_connection = (wire.name, recorded.connection) not in self._connections
            self._connections.add((wire.name, recorded.connection))
            asked.append(attempt)
            self._changed.notify_all()
        if f"{wire.name}/{recorded.model}" in self.down:
            return lambda: wire.error(503)
        return lambda: FAULTS[attempt.model](attempt.ask)


@dataclass(eq=False)
class Attempt:
    """One upstream call; `at` is when it came, by `time.monotonic()`."""

    wire: Wire
    recorded: Recorded
    time: int = 0
    is_on_new_connection: bool = True

    @property
    def model(self) -> str:
        """The model that was asked, without what distinguishes it from others of its kind."""
        return (self.recorded.model or "").partition("@")[0]

    @property
    def at(self) -> float:
        """When it arrived."""
        return self.recorded.received_at

    @property
    def left_at(self) -> float:
        """When the gateway left; waits for it."""
        assert self.recorded.client_gone.wait(5), f"{self.model} was not left"
        assert self.recorded.client_gone_at is not None
        return self.recorded.client_gone_at

    @property
    def is_over(self) -> bool:
        """Whether it was answered to its end, as scripted; waits for it."""
        return self.recorded.answered.wait(5)

    @property
    def messages(self) -> list[tuple[str, str]]:
        """The role and the words of each message."""
        return [(message["role"], _text_of(message.get("content"))) for message in self.recorded.json["messages"]]

    @property
    def mark(self) -> str:
        """The name of the turn: what stands before the colon where the user speaks first."""
        return next(text for role, text in self.messages if role == "user").partition(":")[0]

    @property
    def ask(self) -> Ask:
        """What a script is told."""
        said = [text for role, text in self.messages if role == "assistant"][-1:]
        return Ask(self.wire, self.time, said[0] if said else "", self.messages[-1][0])


class Unanswering:
    """A port at which connecting never comes to an end: its queue is full, and nobody accepts."""

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._queued = [socket.socket() for _ in range(4)]
        for sock in self._queued:
            sock.setblocking(False)
            sock.connect_ex(self._listener.getsockname())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for sock in [self._listener, *self._queued]:
            sock.close()


class _FaultyOpenAI(OpenAIUpstream):
    def __init__(self, provider: FaultyProvider) -> None:
        super().__init__()
        self._provider = provider

    def scripted(self, recorded: Recorded) -> Answer | None:
        script = self._provider.script(WIRES["openai"], recorded)
        return super().scripted(recorded) or (script and script())


class _FaultyAnthropic(AnthropicUpstream):
    def __init__(self, provider: FaultyProvider) -> None:
        super().__init__()
        self._provider = provider

    def scripted(self, recorded: Recorded) -> Answer | None:
        script = self._provider.script(WIRES["anthropic"], recorded)
        return super().scripted(recorded) or (script and script())


def _text_of(content: str | Sequence[dict[str, Any]] | None) -> str:
    if isinstance(content, str):
        return content
    return "".join(block.get("text", "") for block in content or ())
