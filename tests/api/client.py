"""Plain HTTP to the gateway, byte by byte where it matters."""

import http.client
import json
import socket
from collections.abc import Mapping
from typing import Any

from gateway import KEY, Gateway

JSON = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}


class Reply:
    """An answer read whole."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The data of each event of a stream: objects, and the string [DONE]."""
        assert self.headers["content-type"].startswith("text/event-stream"), self.body
        blocks = self.body.decode().split("\n\n")
        assert blocks.pop() == ""
        data = [block.removeprefix("data: ") for block in blocks]
        return [one if one == "[DONE]" else json.loads(one) for one in data]

    @property
    def text(self) -> str:
        """The words of the answer, streamed or not."""
        if "choices" not in (first := self.events[0] if self.body.startswith(b"data") else self.json):
            return ""
        if first["object"] == "chat.completion":
            return first["choices"][0]["message"]["content"]
        deltas = [event["choices"][0]["delta"] for event in self.events if event != "[DONE]" and event.get("choices")]
        return "".join(delta.get("content") or "" for delta in deltas)


def request(
    gateway: Gateway,
    method: str,
    path: str,
    body: bytes | str | None = None,
    headers: Mapping[str, str] = JSON,
) -> Reply:
    """Send one request and read its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    try:
        connection.request(method, path, body, dict(headers))
        return Reply(connection.getresponse())
    finally:
        connection.close()


def chat(gateway: Gateway, model: str, *, path: str = "/v1/chat/completions", **fields: Any) -> Reply:
    """Ask for a turn; without `messages` somebody says hello."""
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], **fields}
    headers = dict(JSON) | fields.pop("headers", {})
    body.pop("headers", None)
    return request(gateway, "POST", path, json.dumps(body), headers)


def begin_chat(gateway: Gateway, model: str, **fields: Any) -> socket.socket:
    """Send a request and leave the answer unread: the caller may hang up at any moment by closing the socket."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hello"}], **fields}).encode()
    sock = socket.create_connection(("127.0.0.1", gateway.port), timeout=30)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in JSON.items())
    sock.sendall(head.encode() + b"\r\n" + body)
    return sock


def read_until(sock: socket.socket, words: bytes) -> bytes:
    """Read until these bytes have come; return all that was read."""
    data = b""
    while words not in data:
        piece = sock.recv(65536)
        assert piece, data
        data += piece
    return data
