"""The scripted server that every upstream of the tests is: HTTP/1.1 on a real loopback socket, a thread a connection.

It records what it was sent and when the client left, and answers what the test scripted:

    with Upstream() as upstream:
        upstream.answers["model-a"] = Answer(steps=[Send(b"data: ..."), Hold()])
        upstream.queue("model-b", Answer.reset(), Answer.json({"fine": True}))
"""

import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from .answers import Answer
from .connection import BadRequest, ClientGone, Connection, Ended, Request, ServerClosed


@dataclass(eq=False)
class Recorded:
    """A request that arrived whole. `connection` names the TCP connection; times are of `time.monotonic()`.

    `answered` is set when the scripted answer was sent to its end (of which a scripted Cut or Reset is one), and
    `client_gone` when the client left before that; it is one or the other, or neither where the server closed first.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    json: Any
    connection: int
    received_at: float
    answered: threading.Event = field(default_factory=threading.Event)
    client_gone: threading.Event = field(default_factory=threading.Event)
    client_gone_at: float | None = None

    @property
    def model(self) -> str | None:
        """The model that the JSON body names."""
        model = self.json.get("model") if isinstance(self.json, dict) else None
        return model if isinstance(model, str) else None

    @property
    def route(self) -> str:
        """The method and the path without its query, as `GET /v1/models`."""
        return f"{self.method} {self.path.split('?')[0]}"


Script = Answer | Callable[[Recorded], Answer]


class Upstream:
    """A scripted server on 127.0.0.1. `answers` is keyed by model name, or by route, as `GET /v1/models`.

    Questions about one model come in the background: they are kept in `lookups`, all others in `requests`.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Script] = {}
        self.requests: list[Recorded] = []
        self.lookups: list[Recorded] = []
        self.connections = 0
        self.open_streams = 0
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._serving: dict[Connection, threading.Thread] = {}

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, name="upstream-accept", daemon=True)
        self._acceptor.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Where it listens, as `http://127.0.0.1:PORT`; the port is still known, and refuses, after closing."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Close every connection and the port; again is fine."""
        if self._closing.is_set():
            return
        with self._changed:
            self._closing.set()
            serving = dict(self._serving)
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        for connection in serving:
            connection.hang_up()
        for thread in [self._acceptor, *serving.values()]:
            thread.join(5)
        self._listener.close()

    def queue(self, model: str, *answers: Script) -> None:
        """Answer successive requests for the model with successive answers; the last one stays."""
        self.answers[model] = _Queue(answers)

    def default_answer(self, recorded: Recorded) -> Answer:
        """Answer for a model with no script."""
        return Answer.json({"method": recorded.method, "path": recorded.path, "body": recorded.json})

    def answer_for(self, recorded: Recorded) -> Answer:
        """Choose the answer; a server of a real API checks the request first."""
        return self.scripted(recorded) or self.default_answer(recorded)

    def scripted(self, recorded: Recorded) -> Answer | None:
        """Give the test's answer to this request, if it scripted one."""
        script = self.answers.get(recorded.route) or self.answers.get(recorded.model or "")
        return script(recorded) if callable(script) else script

    def wait_for_requests(self, count: int, timeout_s: float = 5) -> list[Recorded]:
        """Wait until so many requests have arrived in all, and return every one there is."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests) >= count, timeout_s):
                raise AssertionError(f"{len(self.requests)} of {count} requests arrived within {timeout_s} s")
            return list(self.requests)

    def wait_until_idle(self, timeout_s: float = 5) -> None:
        """Wait until no answer is in progress."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.open_streams == 0, timeout_s):
                raise AssertionError(f"{self.open_streams} answers still in progress after {timeout_s} s")

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                if self._closing.is_set():
                    return
                raise
            with self._changed:
                if self._closing.is_set():
                    sock.close()
                    return
                self.connections += 1
                connection = Connection(sock, self.connections, self._closing)
                thread = threading.Thread(target=self._serve, args=(connection,), name="upstream", daemon=True)
                self._serving[connection] = thread
                thread.start()

    def _serve(self, connection: Connection) -> None:
        try:
            while self._answer(connection, self._record(connection)):
                pass
        except (ClientGone, ServerClosed, Ended):
            pass
        except BadRequest:
            with suppress(ClientGone, ServerClosed):
                connection.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        finally:
            with self._changed:
                del self._serving[connection]
            connection.close()

    def _record(self, connection: Connection) -> Recorded:
        request = connection.read_request()
        recorded = Recorded(*request, _parsed(request), connection.number, time.monotonic())
        with self._changed:
            (self.lookups if recorded.route.startswith("GET /v1/models/") else self.requests).append(recorded)
            self.open_streams += 1
            self._changed.notify_all()
        return recorded

    def _answer(self, connection: Connection, recorded: Recorded) -> bool:
        """Play the answer; whether the connection stays open."""
        outcome: threading.Event | None = None
        try:
            answer = self.answer_for(recorded).to(recorded)
            for item in answer.script():
                if isinstance(item, bytes):
                    connection.send(item)
                else:
                    item.play(connection)
            outcome = recorded.answered
        except Ended:
            outcome = recorded.answered
            raise
        except ClientGone:
            recorded.client_gone_at = time.monotonic()
            outcome = recorded.client_gone
            raise
        finally:
            with self._changed:
                self.open_streams -= 1
                self._changed.notify_all()
            if outcome:
                outcome.set()
        wishes = [recorded.headers.get("connection", ""), answer.headers.get("connection", "")]
        return answer.framing != "close" and "close" not in wishes


class _Queue:
    """Successive answers, the last of which stays."""

    def __init__(self, scripts: tuple[Script, ...]) -> None:
        self._scripts = deque(scripts)
        self._lock = threading.Lock()

    def __call__(self, recorded: Recorded) -> Answer:
        with self._lock:
            script = self._scripts.popleft() if len(self._scripts) > 1 else self._scripts[0]
        return script(recorded) if callable(script) else script


def _parsed(request: Request) -> Any:
    try:
        return json.loads(request.body)
    except ValueError:
        return None
