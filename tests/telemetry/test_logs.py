"""The log: one JSON line for each turn, which says why there was silence and never what was said."""

import contextlib
import json
import logging
import re
from contextlib import closing
from typing import Any, get_args

import pytest
from scripted import ScriptedProvider, Step

from app.domain import errors
from app.domain.config import Route, Target
from app.domain.events import Finish, Start, Text, ToolCall, Usage
from app.domain.request import TurnRequest
from app.domain.turn import TurnRecord
from app.engine.routing import Router
from app.engine.turn import Desk
from app.telemetry import logs
from app.telemetry.foreign import ToOurLog

SAID, ANSWERED, ARGUMENT, EXTRA, USER = "caller-words", "model-words", "tool-words", "extra-words", "user-words"
KEY = "sk-secret-0123456789"


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take back what configure does to the process."""
    monkeypatch.setattr(logs, "_lines", logs._lines)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Read the lines that have been written since."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def run(*steps: Step, model: str = "m") -> None:
    """Take a turn in which everything that must not be told has a name of its own."""
    desk = Desk(
        Router({"m": Route([Target("p", "x")])}, {"p"}, {"p"}, None), {"p": ScriptedProvider(*steps)}, [logs.TurnLog()]
    )
    request = TurnRequest(
        model=model,
        messages=[{"role": "system", "content": SAID}, {"role": "user", "content": SAID}],
        tools=[{"type": "function", "function": {"name": "f", "description": SAID}}],
        params={"user": USER},
        extra={"UUID": EXTRA},
        request_id="req_1",
        conversation_id="conv_1",
        stream=True,
    )
    with contextlib.suppress(errors.GlottisError, errors.CallerGone, ValueError), closing(desk.take(request)) as turn:
        list(turn.events())


CALL = ToolCall(0, "call_1", "f", ARGUMENT)
TURNS: list[tuple[list[Step], str, str]] = [
    ([Start("id"), Text(ANSWERED), CALL, Finish("stop"), Usage(3, 4)], "info", "completed"),
    ([Text(ANSWERED), errors.ProviderBroken()], "warning", "provider_error"),
    ([errors.ProviderTimeout()], "warning", "provider_timeout"),
    ([errors.CallerGone()], "info", "caller_gone"),
    ([ValueError(f"{SAID} {KEY}")], "error", "internal"),
    ([errors.ProviderRequestRefused(upstream_status=400)], "info", "invalid_request"),
]


@pytest.mark.parametrize(("steps", "level", "end"), TURNS, ids=[end for _, _, end in TURNS])
def test_a_turn_is_one_line_without_content(
    capsys: pytest.CaptureFixture[str], steps: list[Step], level: str, end: str
) -> None:
    """However a turn ends, one line tells it, at the level of its end, and no word of the caller or the model."""
    logs.configure("info")
    run(*steps)
    text = capsys.readouterr().out
    assert text.count("\n") == 1
    line = json.loads(text)
    assert (line["event"], line["level"], line["end"]) == ("turn", level, end)
    assert (line["request_id"], line["conversation_id"], line["model"]) == ("req_1", "conv_1", "m")
    assert line["attempts"][0]["target"] == "p/x"
    for secret in (SAID, ANSWERED, ARGUMENT, EXTRA, USER, KEY):
        assert secret not in text


def test_a_line_has_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """A line is told apart by time, level and event, and carries what it was given."""
    logs.configure("info")
    logs.log(logging.INFO, "boot", providers=["openai"], anonymous=False)
    (line,) = lines(capsys)
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "info", "event": "boot", "providers": ["openai"], "anonymous": False}


@pytest.mark.parametrize("form", get_args(logs.Format))
def test_a_line_stays_one_line(capsys: pytest.CaptureFixture[str], form: logs.Format) -> None:
    """Whatever a field holds, it cannot begin a line of its own."""
    logs.configure("info", form)
    run(*TURNS[0][0], model='m\n{"event": "forged"}\u2028')
    text = capsys.readouterr().out
    assert text.count("\n") == 1
    assert "invalid_request" in text


def test_logfmt(capsys: pytest.CaptureFixture[str]) -> None:
    """In logfmt each field of the turn is a pair; what is inside of one has its name too, and a list is JSON."""
    logs.configure("info", "logfmt")
    run(*TURNS[0][0])
    line = capsys.readouterr().out
    pairs = dict(re.findall(r'([\w.]+)=("(?:[^"\\]|\\.)*"|\S*)', line))
    whole = {name for name in TurnRecord.__struct_fields__ if name != "usage"}
    assert {"time", "level", "event", "usage.prompt_tokens", *whole} <= set(pairs)
    assert (pairs["end"], pairs["stream"], pairs["error"], pairs["usage.prompt_tokens"]) == (
        "completed",
        "true",
        "",
        "3",
    )
    assert "p/x" in pairs["attempts"]


def test_console(capsys: pytest.CaptureFixture[str]) -> None:
    """For eyes there is no field that says nothing."""
    logs.configure("info", "console")
    run(*TURNS[0][0])
    line = capsys.readouterr().out
    assert "end='completed'" in line
    assert "apologised" not in line
    assert "error=" not in line


@pytest.mark.parametrize(
    ("name", "is_told"),
    [("gunicorn.error", True), ("my_agent", True), ("library", False)],
)
def test_lines_of_others(capsys: pytest.CaptureFixture[str], name: str, is_told: bool) -> None:
    """Gunicorn and code of one's own say what they say; a library's values and an exception's words are left out."""
    logs.configure("info")
    path = "/x/site-packages/library.py" if name == "library" else "/app/my_agent.py"
    error = ValueError(KEY)
    record = logging.LogRecord(name, logging.WARNING, path, 1, "said %s", ("value",), (ValueError, error, None))
    ToOurLog().emit(record)
    (line,) = lines(capsys)
    assert (line["level"], line["logger"], line["error"]) == ("warning", name, "ValueError at ?")
    assert line["message"] == ("said value" if is_told else "said %s")
    assert line["event"] == ("server" if name == "gunicorn.error" else "library")
    assert KEY not in str(line)


@pytest.mark.parametrize(("level", "events"), [("debug", 3), ("info", 2), ("warning", 1), ("error", 0)])
def test_the_level(capsys: pytest.CaptureFixture[str], level: str, events: int) -> None:
    """LOG_LEVEL says from where up lines are written."""
    logs.configure(level)
    for each in (logging.DEBUG, logging.INFO, logging.WARNING):
        logs.log(each, "something")
    assert len(lines(capsys)) == events


def test_configuring_again_writes_no_line_twice(capsys: pytest.CaptureFixture[str]) -> None:
    """The application may be made more than once in a process."""
    logs.configure("info")
    logs.configure("info")
    logs.log(logging.INFO, "once")
    assert len(lines(capsys)) == 1
