"""What an answer needs is made after the call upstream is under way, and once."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from gateway import clean_environment

from app.api import chat
from app.api.ahead import Ahead
from app.domain.config import Route, Target
from app.domain.events import Event, Finish, Text
from app.engine.routing import Router
from app.engine.turn import Desk
from app.factory import create_app
from app.settings import Settings


def test_it_is_made_while_one_waits() -> None:
    """After what was started before the wait."""
    done: list[str] = []
    ahead = Ahead(lambda: done.append("made") or "it")
    call = gevent.spawn(done.append, "asked")
    call.join()
    gevent.sleep(0)
    assert done == ["asked", "made"]
    assert ahead.get() == "it"
    assert done == ["asked", "made"]


def test_it_is_made_at_once_where_nobody_waits() -> None:
    """And not again when one does."""
    done: list[str] = []
    assert Ahead(lambda: done.append("made") or "it").get() == "it"
    gevent.sleep(0.01)
    assert done == ["made"]


def test_who_asks_hears_what_went_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    """The loop, which may have come first, goes on."""

    def fail() -> str:
        raise ValueError("no")

    ahead = Ahead(fail)
    gevent.sleep(0.01)
    assert "ValueError: no" in capsys.readouterr().err
    with pytest.raises(ValueError, match="no"):
        ahead.get()


def test_a_streamed_answer_is_made_ready_while_the_model_thinks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its response comes after the call and before the first word."""
    done: list[str] = []

    class Thinking:
        name = "thinking"

        def stream(self, request: Any, model: str) -> Iterator[Event]:
            done.append("asked")
            gevent.sleep(0.01)
            done.append("spoke")
            yield Text("Hello")
            yield Finish("stop")

        def first_token_s(self, request: Any, model: str) -> None:
            """It is not known."""

    class Noted(chat.StreamResponse):
        def __init__(self, *given: Any) -> None:
            done.append("ready")
            super().__init__(*given)

    monkeypatch.setattr(os, "environ", clean_environment() | {"ALLOW_ANONYMOUS": "true"})
    monkeypatch.setattr(chat, "StreamResponse", Noted)
    monkeypatch.chdir(tmp_path)
    app = create_app(Settings.load())
    router = Router({"m": Route([Target("thinking", "m")])}, {"thinking"}, {"thinking"}, None)
    app.extensions["glottis.desk"] = Desk(router, {"thinking": Thinking()}, [])  # type: ignore[dict-item]
    asked = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    answer = app.test_client().post("/v1/chat/completions", json=asked).data
    assert b"Hello" in answer
    assert answer.endswith(b"data: [DONE]\n\n")
    assert done == ["asked", "ready", "spoke"]
