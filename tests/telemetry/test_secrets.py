"""No secret in the log: one is fed through every path of a real server, and everything that it prints is searched."""

import http.client
import json
import signal
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from faults.table import FAULTS, Ask
from faults.wires import WIRES
from functions import hush
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


class Told(NamedTuple):
    """What a server printed: while it was asked, and after it was stopped."""

    gateway: Gateway
    drained: list[Any]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """A server that was asked for everything, and then was stopped in mid-answer."""
    folder: Path = tmp_path_factory.mktemp("secrets")
    with (
        OpenAIUpstream(f"sk-{S}-openai", strict=False) as openai,
        AnthropicUpstream(f"sk-ant-{S}-anthropic", strict=False) as anthropic,
    ):
        script(openai, "openai")
        script(anthropic, "anthropic")
        env = {
            "API_KEYS": f"tester:{KEY}",
            "OPENAI_API_KEY": openai.key,
            "OPENAI_BASE_URL": openai.base_url,
            "ANTHROPIC_API_KEY": anthropic.key,
            "ANTHROPIC_BASE_URL": anthropic.base_url,
            "MAX_BODY_BYTES": "100000",
            "SHUTDOWN_S": "4",
            "GUNICORN_CMD_ARGS": "--access-logfile - --log-level debug",
        }
        with Gateway(env, config=CONFIG, folder=folder) as gateway:
            post(gateway, "the-one-that-is-allowed", body("limited"))
            with ThreadPoolExecutor(12) as pool:
                jobs = [pool.submit(case.send, gateway, f"case-{number}") for number, case in enumerate(CASES)]
                jobs += [pool.submit(unreadable, gateway, text) for text in UNREADABLE]
                for job in jobs:
                    job.result()
            for number in range(len(CASES)):
                gateway.turns(1, request_id=f"case-{number}")
            before = len(gateway.lines)
            with open_request(gateway, "drained", body("openai/endless", stream=True)) as sock:
                while b"content" not in sock.recv(65536):
                    pass
                gateway.process.send_signal(signal.SIGTERM)
                gateway.process.wait(20)
            gateway._reader.join(5)
            yield Told(gateway, gateway.lines[before:])


def unreadable(gateway: Gateway, text: str) -> None:
    """Send what is no request, and read whatever comes."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as sock:
        sock.sendall(text.encode())
        try:
            while sock.recv(65536):
                pass
        except ConnectionError:
            pass


def test_nothing_is_said(told: Told) -> None:
    """No word of a caller, a model, a provider or a function, and no key, stands anywhere in the output."""
    leaks = [line for line in told.gateway.lines if S.lower() in json.dumps(line).lower() or "zqhush" in str(line)]
    assert leaks == []
    assert hush.SECRET.startswith(S)


def test_there_is_nothing_but_lines(told: Told) -> None:
    """Whatever crashes, standard output and error hold lines of the log alone, each an object with its event."""
    assert [line for line in told.gateway.lines if not isinstance(line, dict)] == []
    assert {"time", "level", "event"} <= set.intersection(*(set(line) for line in told.gateway.lines))


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.name for case in CASES])
def test_one_line_for_each_request(told: Told, number: int) -> None:
    """Every chat request has one turn line, with its id, its end, and of a refusal the reason."""
    lines = [line for line in told.gateway.lines if line.get("request_id") == f"case-{number}"]
    turns = [line for line in lines if line["event"] == "turn"]
    assert len(turns) == 1, lines
    assert {line["event"] for line in lines} <= {"turn", "access"}
    turn, end = turns[0], CASES[number].end
    assert turn["end"] == (end or turn["end"])
    assert turn["key"] == (None if turn["status"] == 401 else "tester")
    if turn["end"] == "invalid_request":
        assert turn["error"]
        assert turn["status"] >= 400


def test_all_ends_were_seen(told: Told) -> None:
    """The cases are not of one kind."""
    ends = {line["end"] for line in told.gateway.lines if line["event"] == "turn"}
    assert ends == set(get_args(End)) - {"internal"}


def test_what_nobody_caught(told: Told) -> None:
    """What crashed beside the turns has lines too: its class and place."""
    crashed = [line["error"] for line in told.gateway.lines if line["event"] == "internal_error"]
    places = {error.partition(" at ")[::2] for error in crashed}
    assert {kind for kind, place in places if "hush.py" in place} == {"ValueError"}
    assert len(crashed) >= 3, "a greenlet, a thread, and an object that was thrown away"


def test_access_lines_have_no_query(told: Told) -> None:
    """Where a host asks gunicorn for its access log, as Heroku does, a line is of the same form as all others."""
    lines = [line for line in told.gateway.lines if line["event"] == "access"]
    assert {line["path"] for line in lines} >= {"/v1/chat/completions", "/nowhere"}
    assert [line for line in lines if "?" in json.dumps(line)] == []


def test_content_if_asked_for(tmp_path: Path) -> None:
    """With LOG_CONTENT=true there is a line with the messages and the answer beside each turn's; a warning says so."""
    env = {"API_KEYS": f"tester:{KEY}", "LOG_CONTENT": "true", "OPENAI_API_KEY": f"sk-{S}-openai"}
    with Gateway(env, config=CONFIG, folder=tmp_path) as gateway:
        post(gateway, "case", body("answer", stream=True))
        post(gateway, "refused", body("answer", stop=1))
        (turn,) = gateway.turns(request_id="case")
        (line,) = gateway.events("content", request_id="case")
        (refused,) = gateway.turns(request_id="refused")
        (warning,) = gateway.events("content_is_logged")
    assert warning["level"] == "warning"
    assert line["messages"] == [{**message, "content": message.get("content") or None} for message in MESSAGES]
    assert line["answer"] == f"{hush.SECRET}. {S}-part "
    assert line["tool_calls"] == [{"name": hush.SECRET, "arguments": f'{{"{hush.SECRET}": 1}}'}]
    assert S not in json.dumps([turn, refused])
    for key in (KEY, f"sk-{S}-openai", f"{S}-custom", f"{S}-query"):
        assert key not in gateway.output


def test_who_was_cut_off(told: Told) -> None:
    """The answer that was in progress when the server was stopped has its line."""
    assert [line["end"] for line in told.drained if line["event"] == "turn"] == ["drained"]
