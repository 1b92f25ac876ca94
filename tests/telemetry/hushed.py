"""Requests that take every path through a server, each full of secrets, and how its turn ends."""

import http.client
import json
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from faults.table import FAULTS, Ask
from faults.wires import WIRES
from gateway import Gateway
from upstreams import Answer, AnthropicUpstream, Hold, OpenAIUpstream, Send

from app.domain.turn import End

S = "Zq7hush"
"""What every secret begins with."""

KEY = f"{S}-caller-key"
CHAT = f"/v1/chat/completions?api_key={S}-query"
STATUSES = (400, 401, 402, 403, 404, 408, 409, 413, 418, 422, 429, 500, 502, 503, 504, 529)

MESSAGES = [
    {"role": "system", "content": f"{S}-system"},
    {"role": "user", "content": f"{S}-user", "name": f"{S}-name"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": f"{S}id", "type": "function", "function": {"name": f"{S}-tool", "arguments": f'{{"{S}": "{S}"}}'}}
        ],
    },
    {"role": "tool", "tool_call_id": f"{S}id", "content": f"{S}-result"},
    {"role": "user", "content": [{"type": "text", "text": f"{S}-part"}]},
]
FIELDS: dict[str, Any] = {
    "messages": MESSAGES,
    "tools": [{"type": "function", "function": {"name": f"{S}-tool", "description": f"{S}-description"}}],
    "metadata": {f"{S}-key": f"{S}-value"},
    "user": f"{S}-user",
    "stop": [f"{S}-stop"],
    "elevenlabs_extra_body": {f"{S}-extra": f"{S}-extra"},
}
HEADERS = {
    "Content-Type": "application/json",
    "Authorization": f"Bearer {KEY}",
    "X-Custom-Auth": f"{S}-custom",
    "X-API-Key": f"{S}-api",
    "Cookie": f"{S}=cookie",
    "Referer": f"https://{S}.example",
    "User-Agent": f"{S}-agent",
    f"X-{S}": f"{S}",
}

CONFIG = """
[defaults.budget]
first_token_s = 0.4
idle_s = 0.4
total_s = 2.0
retries = 0
cooldown_after = 1000
""" + "".join(
    f'[routes.{name}]\ntarget = "function:hush:{name}"\n'
    for name in ("answer", "at_once", "later", "harshly", "oddly", "beside", "clinging")
)


CONFIG += '[routes.limited]\ntarget = "function:hush:answer"\n[routes.limited.limits]\nrequests_per_minute = 1\n'


class Case(NamedTuple):
    """A request, how its turn ends if that is certain, and who sends it under a request id."""

    name: str
    end: End | None
    send: Callable[[Gateway, str], object]


def body(model: str, **fields: Any) -> bytes:
    """Make a body that is full of secrets."""
    return json.dumps({"model": model, **FIELDS, **fields}).encode()


def post(gateway: Gateway, request_id: str, data: Any, headers: Mapping[str, str] = HEADERS) -> bytes:
    """Send a request, and read whatever comes."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    try:
        connection.request("POST", CHAT, data, {**headers, "X-Request-Id": request_id})
        return connection.getresponse().read()
    except (http.client.HTTPException, ConnectionError) as error:
        return repr(error).encode()
    finally:
        connection.close()


def asks(model: str, end: End | None = None, **fields: Any) -> Case:
    """A request for this model."""
    name = f"{model}-{'stream' if fields.get('stream') else 'whole'}"
    return Case(name, end, lambda gateway, request_id: post(gateway, request_id, body(model, **fields)))


def sends(name: str, data: Any, end: End = "invalid_request", **headers: str) -> Case:
    """A body or headers that are refused."""
    sent = {name: value for name, value in {**HEADERS, **headers}.items() if value}
    return Case(name, end, lambda gateway, request_id: post(gateway, request_id, data, sent))


def open_request(gateway: Gateway, request_id: str, data: bytes, length: int | None = None) -> socket.socket:
    """Send a request over a bare socket; a `length` that is more than the data lets the server wait for the rest."""
    sock = socket.create_connection(("127.0.0.1", gateway.port), timeout=30)
    headers = {**HEADERS, "Host": "x", "X-Request-Id": request_id, "Content-Length": str(length or len(data))}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    sock.sendall(f"POST {CHAT} HTTP/1.1\r\n{head}\r\n".encode() + data)
    return sock


def leaves(model: str, *, after: bytes, resets: bool = False, missing: int = 0, stream: bool = True) -> Case:
    """A caller who hangs up when these bytes have come, or with bytes missing of the request."""

    def send(gateway: Gateway, request_id: str) -> None:
        data = body(model, stream=stream)
        with open_request(gateway, request_id, data, len(data) + missing) as sock:
            heard = b""
            while after not in heard:
                heard += sock.recv(65536)
            if resets:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return Case(f"leaves-{model}-{after!r}-{resets}-{missing}", "caller_gone", send)


def chunked(*pieces: bytes) -> Iterator[bytes]:
    """Yield a body piece by piece, which makes it a chunked one."""
    yield from pieces


BAD: dict[str, Any] = {
    "role": {"messages": [{"role": f"{S}", "content": "x"}]},
    "content": {"messages": [{"role": "user", "content": {f"{S}": 1}}]},
    "part": {"messages": [{"role": "user", "content": [{"type": f"{S}", f"{S}": 1}]}]},
    "tools": {"tools": [{f"{S}": 1}]},
    "tool_choice": {"tool_choice": f"{S}"},
    "parameters": {"tools": [{"type": "function", "function": {"name": "f", "parameters": f"{S}"}}]},
    "logit_bias": {"logit_bias": {f"{S}": f"{S}"}},
    "logit_bias-word": {"logit_bias": {"zqhush_word": "x"}},
    "stop": {"stop": {f"{S}": f"{S}"}},
    "temperature": {"temperature": f"{S}"},
    "effort": {"reasoning_effort": f"{S}"},
    "format": {"response_format": {"type": f"{S}", f"{S}": 1}},
    "stream": {"stream": f"{S}"},
    "messages": {"messages": f"{S}"},
    "model": {"model": {f"{S}": 1}},
    "extra": {"elevenlabs_extra_body": f"{S}"},
    "functions": {"functions": [f"{S}"]},
}
"""Fields that are refused, most of them with a secret as their name or value."""

CASES = [
    *(asks(f"{wire}/{fault}", stream=bool(number % 2)) for wire in WIRES for number, fault in enumerate(sorted(FAULTS))
      if "flood" not in fault),
    *(asks(f"{wire}/hush-{status}-{shape}", stream=True) for wire in WIRES for status in STATUSES for shape in "jtp"),
    *(asks(f"{wire}/hush-{kind}", stream=stream)
      for wire in WIRES for kind in ("words", "tool", "event-0", "event-5", "finish") for stream in (True, False)),
    *(asks("answer", "completed", stream=stream) for stream in (True, False)),
    *(asks(name, "provider_error", stream=stream) for name in ("at_once", "later", "harshly", "oddly")
      for stream in (True, False)),
    asks("limited", "limit"),
    asks("beside", "completed"),
    asks("clinging", "provider_timeout", stream=True),
    *(asks(f"{wire}/hush-length", "length") for wire in WIRES),
    sends("no-key", body("answer"), Authorization=""),
    *(sends(f"wrong-key-{name}", body("answer"), **{"Authorization": "", name: f"{S}-wrong"})
      for name in ("Authorization", "X-Custom-Auth", "X-API-Key")),
    sends("compressed", body("answer"), **{"Content-Encoding": f"{S}"}),
    sends("content-type", body("answer"), **{"Content-Type": f"text/{S}"}),
    *(sends(f"json-{at}", body("answer")[:at]) for at in (0, 1, 60, 200)),
    sends("json-rest", body("answer") + S.encode()),
    sends("json-text", f'"{S}"'.encode()),
    sends("utf-8", S.encode() + b"\xff\xfe"),
    sends("surrogate", b'{"model": "' + S.encode() + b'\\ud800"}'),
    sends("nested", b'{"a":' * 100_000 + S.encode()),
    sends("large", body("answer", user=S * 20_000)),
    Case("large-chunked", "invalid_request", lambda gateway, request_id: post(
        gateway, request_id, chunked(body("answer", user=S * 20_000)))),
    *(sends(f"bad-{name}", json.dumps({"model": "answer", **FIELDS, **fields})) for name, fields in BAD.items()),
    leaves("clinging", after=b"content"),
    leaves("clinging", after=b"content", resets=True),
    leaves("openai/silent", after=b""),
    leaves("openai/silent", after=b"", resets=True),
    leaves("anthropic/stall-20", after=b"content"),
    leaves("answer", after=b"", missing=10),
    leaves("answer", after=b"", missing=10, resets=True),
]  # fmt: skip

UNREADABLE = [
    f"{S} /v1/chat/completions HTTP/9.9\r\n\r\n",
    f"POST {CHAT} HTTP/1.1\r\n{S}\r\n\r\n",
    f"POST {CHAT}{'x' * 5000} HTTP/1.1\r\n\r\n",
    f"POST {CHAT} HTTP/1.1\r\nX: {S}{'x' * 10_000}\r\n\r\n",
    f"POST {CHAT} HTTP/1.1\r\nTransfer-Encoding: {S}\r\n\r\n",
    f"POST {CHAT} HTTP/1.1\r\nContent-Length: {S}\r\n\r\n",
    f"GET /nowhere?{S}={S} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    f"GET {CHAT} HTTP/1.1\r\nHost: {S}\r\nConnection: close\r\n\r\n",
    f"GET /v1/models?{S} HTTP/1.1\r\nHost: x\r\nAuthorization: {S}\r\nConnection: close\r\n\r\n",
]
"""What never becomes a chat request."""


def script(upstream: OpenAIUpstream | AnthropicUpstream, name: str) -> None:
    """Let a provider fail in every way, with a secret in all that it says of it."""
    wire = WIRES[name]
    for fault, play in FAULTS.items():
        upstream.answers[fault] = lambda _, play=play: play(Ask(wire, 0, "", "user"))  # type: ignore[misc]
    said: dict[str, Any] = {"message": f"{S}-said", "type": f"{S}-type", "code": f"{S}-code", "param": f"tools[0].{S}"}
    for status in STATUSES:
        upstream.answers[f"hush-{status}-j"] = Answer.error(status, {"type": "error", "error": said})
        upstream.answers[f"hush-{status}-t"] = Answer.error(status, {"error": f"{S}-said", "detail": f"{S}"})
        upstream.answers[f"hush-{status}-p"] = Answer.html(status, f"<html>{S}</html>")
    event = b"event: error\ndata: " + json.dumps({"type": "error", "error": said}).encode() + b"\n\n"
    upstream.answers["hush-words"] = wire.words([f"{S} ", "and. ", f"{S}"])
    upstream.answers["hush-tool"] = wire.tool([("call_1", f"{S}-tool", [f'{{"{S}"', ":1}"])])
    upstream.answers["hush-event-0"] = wire.words([Send(event), Hold()])
    upstream.answers["hush-event-5"] = wire.words([f"{S} "] * 5 + [Send(event), Hold()])
    upstream.answers["hush-length"] = wire.words([f"{S}"], finish="length" if name == "openai" else "max_tokens")
    upstream.answers["hush-finish"] = wire.words([f"{S}"], finish=f"{S}-finish")
