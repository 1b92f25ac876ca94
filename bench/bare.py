"""The yardstick: a Flask view that passes the upstream's bytes on, and does nothing else.

What any gateway on Flask, gunicorn and gevent costs at least on this machine; every figure is also given relative to
it. It checks no key, parses no JSON, writes no log, and knows no failures.
"""

import os
import socket
from collections.abc import Iterator

from flask import Flask, Response, request

HOST, PORT = os.environ.get("UPSTREAM", "127.0.0.1:0").split(":")

app = Flask("bare")
kept: list[socket.socket] = []


class Upstream:
    """One call: the request's bytes out, the answer's body in, as it comes."""

    def __init__(self, path: str, body: bytes) -> None:
        self._sock = kept.pop() if kept else socket.create_connection((HOST, int(PORT)))
        self._whole = False
        head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self._sock.sendall(head.encode() + b"\r\n\r\n" + body)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._recv()
        head_bytes, self._data = data.split(b"\r\n\r\n", 1)
        lines = head_bytes.decode("latin-1").lower().split("\r\n")
        self.status = int(lines[0].split(" ")[1])
        self.headers = dict(line.split(": ", 1) for line in lines[1:])

    def __iter__(self) -> Iterator[bytes]:
        length = self.headers.get("content-length")
        yield from self._chunks() if length is None else self._sized(int(length))
        self._whole = True

    def _sized(self, length: int) -> Iterator[bytes]:
        while len(self._data) < length:
            self._data += self._recv()
        yield self._data

    def _chunks(self) -> Iterator[bytes]:
        """Yield what each read brought, without the framing of HTTP's chunks."""
        data, more = self._data, True
        while more:
            words, data, more = unframed(data)
            if words:
                yield words
            if more:
                data += self._recv()

    def _recv(self) -> bytes:
        data = self._sock.recv(65536)
        if not data:
            raise ConnectionError("the upstream broke off")
        return data

    def close(self) -> None:
        """Keep the connection for another call, if this one's answer was read to its end."""
        if self._whole:
            kept.append(self._sock)
        else:
            self._sock.close()


def unframed(data: bytes) -> tuple[bytes, bytes, bool]:
    """Return the contents of the chunks that are whole, what is left over, and whether the body goes on."""
    found = []
    at = 0
    while (end := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:end], 16)
        after = end + 2 + size + 2
        if len(data) < after:
            break
        if size == 0:
            return b"".join(found), b"", False
        found.append(data[end + 2 : after - 2])
        at = after
    return b"".join(found), data[at:], True


@app.post("/v1/<path:path>")
def relay(path: str) -> Response:
    upstream = Upstream(f"/v1/{path}", request.get_data(cache=False))
    return Response(upstream, upstream.status, content_type=upstream.headers["content-type"], direct_passthrough=True)


@app.get("/health")
def health() -> str:
    return "healthy"
