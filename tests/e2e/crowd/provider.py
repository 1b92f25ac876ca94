"""A provider for a crowd, in one process.

    python -m e2e.crowd.provider WORDS HOLD_AFTER TICK_S

prints its port. Who asks for the model `held` hears a word each TICK_S, in step with all others; after HOLD_AFTER words
all wait until a line comes on standard input. Who asks for another model hears all words at once. When standard input
is closed, it prints as JSON which callers were left in mid-answer.
"""

import contextlib
import json
import re
import selectors
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CALLER = re.compile(rb"caller (\d+)")
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


def chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    """Return an event in a chunk of HTTP."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "crowd", "choices": [choice]}
    return framed(b"data: " + json.dumps(body).encode() + b"\n\n")


def framed(data: bytes) -> bytes:
    """Return a chunk of HTTP."""
    return b"%x\r\n%s\r\n" % (len(data), data)


class Stream:
    """A connection of the gateway, and the answer on it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = b""
        self.caller: int | None = None
        self.is_held = False
        self.said = 0

    def read(self) -> bool:
        """Take what has come; whether the connection stands."""
        try:
            data = self.sock.recv(1 << 16)
        except OSError:
            return False
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if end and length and len(body) >= int(length[1]):
            self.received = b""
            found = CALLER.search(body)
            assert found, body
            self.caller, self.said, self.is_held = int(found[1]), 0, b'"held"' in body
            self.sock.sendall(HEAD + chunk({"role": "assistant"}))
        return data != b""

    def say_all(self, words: int) -> None:
        """Say every word, and the end."""
        while self.caller is not None:
            self.say(words)

    def say(self, words: int) -> None:
        """Say the next word, or the end."""
        if self.said < words:
            self.sock.sendall(chunk({"content": f"{self.caller}-{self.said} "}))
            self.said += 1
        else:
            self.sock.sendall(chunk({}, "stop") + framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")
            self.caller = None


class Provider:
    """All streams, in one loop."""

    def __init__(self, words: int, hold_after: int, tick_s: float) -> None:
        self._words = words
        self._until = hold_after
        self._tick_s = tick_s
        self._streams: dict[Any, Stream] = {}
        self._left: list[int] = []
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._listener.setblocking(False)
        self._orders = sys.stdin.buffer.raw
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._orders, selectors.EVENT_READ)
        tell(self._listener.getsockname()[1])

    def serve(self) -> None:
        """Serve until standard input is closed."""
        tick_at = time.monotonic() + self._tick_s
        while True:
            for key, _ in self._selector.select(max(0.0, tick_at - time.monotonic())):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is not self._orders:
                    self._hear(self._streams[key.fileobj])
                elif self._orders.read(64):
                    self._until = self._words + 1
                else:
                    tell(self._left)
                    return
            if time.monotonic() >= tick_at:
                tick_at = time.monotonic() + self._tick_s
                for stream in tuple(self._streams.values()):
                    if stream.caller is not None and stream.said < self._until:
                        self._say(stream, stream.say)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, _ = self._listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._streams[sock] = Stream(sock)
                self._selector.register(sock, selectors.EVENT_READ)

    def _hear(self, stream: Stream) -> None:
        if not stream.read():
            self._lose(stream)
        elif stream.caller is not None and not stream.is_held:
            self._say(stream, stream.say_all)

    def _say(self, stream: Stream, say: Callable[[int], None]) -> None:
        try:
            say(self._words)
        except OSError:
            self._lose(stream)

    def _lose(self, stream: Stream) -> None:
        self._selector.unregister(stream.sock)
        del self._streams[stream.sock]
        stream.sock.close()
        if stream.caller is not None:
            self._left.append(stream.caller)


def tell(what: object) -> None:
    """Print a line of JSON."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    Provider(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])).serve()
