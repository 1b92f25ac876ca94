"""A crowd of callers in one process, each with a connection of their own and one turn.

    python -m e2e.crowd.callers PORT KEY MODEL CALLERS WORDS

Two lines of JSON: once all of them have heard a word, the local port of each; and at the end who heard the whole answer
(`whole`), to whom it broke off (`cut`), and who heard anything else (`wrong`, the first few with what it was).
"""

import json
import re
import selectors
import socket
import sys
from typing import Any

CHUNK = re.compile(rb"([0-9a-f]+)\r\n", re.IGNORECASE)
END = b"\r\n0\r\n\r\n"


class Caller:
    """One caller, and all that came."""

    def __init__(self, number: int, port: int) -> None:
        self.number = number
        self.received = bytearray()
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.connect_ex(("127.0.0.1", port))

    def ask(self, key: str, model: str) -> None:
        """Send the request."""
        message = {"role": "user", "content": f"This is caller {self.number}."}
        body = json.dumps({"model": model, "stream": True, "messages": [message]}).encode()
        head = f"Host: gateway\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json"
        self.sock.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\n%s\r\nContent-Length: %d\r\n\r\n%s"
            % (head.encode(), len(body), body)
        )

    def hear(self) -> bool:
        """Take what has come; whether more may come."""
        try:
            data = self.sock.recv(1 << 16)
        except OSError:
            return False
        self.received += data
        return data != b"" and not self.received.endswith(END)

    @property
    def has_heard(self) -> bool:
        """Whether a word has come."""
        return b'"content":"%d-0 ' % self.number in self.received

    def verdict(self, words: int) -> str:
        """Say what it was: `whole`, `cut`, or `wrong`."""
        if not self.received.startswith(b"HTTP/1.1 200 "):
            return "wrong"
        if not self.received.endswith(END):
            return "cut"
        *events, done, _ = unchunked(bytes(self.received).partition(b"\r\n\r\n")[2]).decode().split("\n\n")
        choices = [json.loads(event.removeprefix("data: "))["choices"][0] for event in events]
        text = "".join(choice["delta"].get("content") or "" for choice in choices)
        expected = "".join(f"{self.number}-{place} " for place in range(words))
        is_right = done == "data: [DONE]" and text == expected and choices[-1]["finish_reason"] == "stop"
        return "whole" if is_right else "wrong"


def unchunked(body: bytes) -> bytes:
    """Return a body without its chunks' heads."""
    pieces, at = [], 0
    while head := CHUNK.match(body, at):
        size = int(head[1], 16)
        pieces.append(body[head.end() : head.end() + size])
        at = head.end() + size + 2
    return b"".join(pieces)


def main(port: int, key: str, model: str, count: int, words: int) -> None:
    """Call, listen, and tell."""
    callers = [Caller(number, port) for number in range(count)]
    silent = set(callers)
    selector = selectors.DefaultSelector()
    for caller in callers:
        selector.register(caller.sock, selectors.EVENT_WRITE, caller)
    while selector.get_map():
        for ready, mask in selector.select():
            caller = ready.data
            if mask & selectors.EVENT_WRITE:
                caller.ask(key, model)
                selector.modify(caller.sock, selectors.EVENT_READ, caller)
                continue
            goes_on = caller.hear()
            if caller in silent and (caller.has_heard or not goes_on):
                silent.remove(caller)
                if not silent:
                    tell({"ports": [each.sock.getsockname()[1] for each in callers]})
            if not goes_on:
                selector.unregister(caller.sock)
    verdicts = [caller.verdict(words) for caller in callers]
    heard: dict[str, Any] = {
        name: [caller.number for caller, verdict in zip(callers, verdicts, strict=True) if verdict == name]
        for name in ("whole", "cut", "wrong")
    }
    wrong = [(number, callers[number].received[:1000].decode()) for number in heard["wrong"][:3]]
    tell(heard | {"wrong": wrong})


def tell(what: dict[str, Any]) -> None:
    """Print a line of JSON."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    port, key, model, count, words = sys.argv[1:]
    main(int(port), key, model, int(count), int(words))
