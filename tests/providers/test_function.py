"""A user's own function as a provider: it keeps the part of the contract that needs no other machine."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gevent
import pytest
from providers.contract import SOON_S, Call, ProviderContract, Stage, request

from app.domain import errors
from app.domain.events import Event, Finish, FinishReason, Text, ToolCall, Usage
from app.domain.request import TurnRequest
from app.providers.function import FunctionProvider, load


class FunctionStage:
    """A function that does what the test says."""

    model = "my_agent:answer"

    def __init__(self) -> None:
        self._pieces: list[str | Event] = []
        self._left = threading.Event()

    def provider(self) -> FunctionProvider:
        """Make the provider of this one function."""
        return FunctionProvider({self.model: self._answer})

    def says(self, *pieces: str, finish: FinishReason = "stop") -> None:
        """Yield strings."""
        self._pieces = [*pieces, Finish(finish)]

    def calls(self, *calls: Call, text: Sequence[str] = ()) -> None:
        """Yield events; a function says itself that there are no arguments."""
        self._pieces = [*text]
        for index, (call_id, name, pieces) in enumerate(calls):
            self._pieces.append(ToolCall(index, call_id, name))
            self._pieces += [ToolCall(index, arguments=piece) for piece in pieces or ["{}"]]

    def falls_silent_after(self, text: str) -> None:
        """Yield, and be there still when the caller leaves."""
        self._pieces = [text, "Never heard"]

    def saw_the_caller_leave(self) -> bool:
        """Whether the generator was closed."""
        return self._left.wait(SOON_S)

    def _answer(self, turn: TurnRequest) -> Iterator[str | Event]:
        try:
            yield from self._pieces
        except GeneratorExit:
            self._left.set()
            raise


class TestFunction(ProviderContract):
    """A function: nobody counts its tokens, and it fails in its own way alone."""

    counts_tokens = False

    @pytest.fixture
    def stage(self) -> Stage:
        """Set up a function."""
        return FunctionStage()


def answer(function: Callable[[TurnRequest], Any]) -> list[Event]:
    """Answer a turn with the function."""
    return list(FunctionProvider({"m:f": function}).stream(request(), "m:f"))


@pytest.mark.parametrize(
    ("given", "events"),
    [
        ("Hello", [Text("Hello"), Finish("stop")]),
        ("", [Finish("stop")]),
        (["a", "", "b"], [Text("a"), Text("b"), Finish("stop")]),
        (iter(["a"]), [Text("a"), Finish("stop")]),
        ([], [Finish("stop")]),
        ([Text("a"), Finish("length"), Usage(1, 2)], [Text("a"), Usage(1, 2), Finish("length")]),
        ([ToolCall(0, "1", "f", "{}")], [ToolCall(0, "1", "f", "{}"), Finish("tool_calls")]),
        ([ToolCall(0, "1", "f", "{}"), Finish("length")], [ToolCall(0, "1", "f", "{}"), Finish("length")]),
    ],
)
def test_what_a_function_may_give(given: Any, events: list[Event]) -> None:
    """A string, or any iterable of strings and events; without a Finish of its own it ends when it ends."""
    assert answer(lambda turn: given) == events


@pytest.mark.parametrize("given", [None, 5, [None], [b"bytes"], b"bytes", ["fine", 5], {"a": 1}.items()])
def test_what_a_function_may_not_give(given: Any) -> None:
    """Anything else is FunctionFailed, with its type and never its content."""
    with pytest.raises(errors.FunctionFailed) as failed:
        answer(lambda turn: given)
    assert "bytes'" not in (failed.value.detail or "")


def test_a_function_that_raises() -> None:
    """What it said is handed on; the error says where it was raised and not its message, which may quote a caller."""

    def failing(turn: TurnRequest) -> Iterator[str]:
        yield "Well"
        raise KeyError("what the caller said")

    events = FunctionProvider({"m:f": failing}).stream(request(), "m:f")
    assert next(events) == Text("Well")
    with pytest.raises(errors.FunctionFailed) as failed:
        next(events)
    assert "test_function.py:" in (failed.value.detail or "")
    assert "KeyError" in (failed.value.detail or "")
    assert "caller said" not in (failed.value.detail or "") + failed.value.message


def test_a_function_may_raise_an_error_of_the_domain() -> None:
    """A function that calls another provider passes on what that one says."""

    def limited(turn: TurnRequest) -> Iterator[str]:
        raise errors.ProviderRateLimited(retry_after_s=3)
        yield ""

    with pytest.raises(errors.ProviderRateLimited):
        answer(limited)


def test_the_caller_leaving_goes_through() -> None:
    """CallerGone is no failure of the function's."""

    def left(turn: TurnRequest) -> Iterator[str]:
        raise errors.CallerGone
        yield ""

    with pytest.raises(errors.CallerGone):
        answer(left)


@pytest.mark.parametrize("stubborn", [True, False])
def test_a_function_that_fails_while_it_is_closed(stubborn: bool) -> None:
    """Closing an answer never raises, even where the function raises on the way out or will not go."""

    def bad(turn: TurnRequest) -> Iterator[str]:
        try:
            yield "Well"
        finally:
            if not stubborn:
                raise ValueError("too late")
            yield "One more thing"

    events = FunctionProvider({"m:f": bad}).stream(request(), "m:f")
    assert next(events) == Text("Well")
    events.close()
    assert list(events) == []


def test_a_function_gets_the_request() -> None:
    """A function sees the turn as every provider does."""
    assert answer(lambda turn: f"You said: {turn.last_user_text}")[0] == Text("You said: Hello there")


def test_functions_are_not_listed() -> None:
    """Functions are offered under the names of their routes alone."""
    assert FunctionProvider({}).models() == []


def test_an_unknown_function_fails_as_one() -> None:
    """A name that was never loaded is a ProviderError, not a KeyError."""
    with pytest.raises(errors.ProviderError):
        list(FunctionProvider({}).stream(request(), "no:such"))


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("my_functions", "expected function:MODULE:NAME"),
        (":answer", "expected function:MODULE:NAME"),
        ("my_functions:", "expected function:MODULE:NAME"),
        ("no_such_module_here:answer", "cannot be imported: ModuleNotFoundError"),
        ("my_functions:missing", "cannot be imported: AttributeError"),
        ("my_functions:NUMBER", "is not a function"),
        ("broken_functions:answer", "cannot be imported: ZeroDivisionError"),
    ],
)
def test_loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, reason: str) -> None:
    """A function that is not there stops the server at boot, with the reason."""
    (tmp_path / "my_functions.py").write_text("NUMBER = 5\ndef answer(turn):\n    return 'Hi'\n")
    (tmp_path / "broken_functions.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert ask_loaded("my_functions:answer") == [Text("Hi"), Finish("stop")]
    with pytest.raises(ValueError, match=reason):
        load(path)


def ask_loaded(path: str) -> list[Event]:
    """Load a function and answer with it."""
    return answer(load(path))


@pytest.mark.parametrize("raised", [gevent.Timeout(1), gevent.GreenletExit(), KeyboardInterrupt(), SystemExit(1)])
@pytest.mark.parametrize("said", [[], ["So far "]])
def test_whatever_a_function_raises_is_its_failure(raised: BaseException, said: list[str]) -> None:
    """Also what is no Exception, as the time-outs of gevent are: another target may answer, or go on."""

    def answer(turn: TurnRequest) -> Iterator[str]:
        yield from said
        raise raised

    events = FunctionProvider({"f": answer}).stream(request(), "f")
    assert [next(events) for _ in said] == [Text(text) for text in said]
    with pytest.raises(errors.FunctionFailed):
        next(events)


ENDINGS = [errors.CallerGone(), errors.TimeIsUp(errors.ProviderTimeout())]


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: type(ending).__name__)
def test_who_fails_to_tidy_up_has_not_failed(ending: BaseException) -> None:
    """A caller who goes is no failure, though the function raises over it: nobody is asked to go on for nobody."""

    def answer(turn: TurnRequest) -> Iterator[str]:
        try:
            yield "So far "
        finally:
            raise RuntimeError("in tidying up")

    events = FunctionProvider({"f": answer}).stream(request(), "f")
    next(events)
    with pytest.raises(type(ending)):
        events.throw(ending)
