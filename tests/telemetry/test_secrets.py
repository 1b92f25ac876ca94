"""No secret in the log: one is fed through every path of a real server, and everything that it prints is searched."""

import json
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from functions import hush
from gateway import Gateway
from telemetry.hushed import CASES, CONFIG, KEY, MESSAGES, UNREADABLE, S, body, open_request, post, script
from upstreams import AnthropicUpstream, OpenAIUpstream

from app.domain.turn import End


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
