"""A user's own Python generator as a model: `function:my_agent:answer` is `answer` of my_agent.py."""

import contextlib
import importlib
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from app.domain.errors import CallerGone, FunctionFailed, GlottisError, TimeIsUp, place_of
from app.domain.events import Event, Events, Finish, Text, ToolCall, Usage
from app.domain.ports import Model
from app.domain.request import TurnRequest
from app.providers.calls import ToolCalls

ENDINGS = (CallerGone, TimeIsUp, GeneratorExit)
"""What ends a function from outside: no failure of it."""

Function = Callable[[TurnRequest], str | Iterable[str | Event]]


def load(path: str) -> Function:
    """Return the function that `module:name` names; raises ValueError, with the reason, where there is none."""
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        raise ValueError("expected function:MODULE:NAME")
    try:
        function = getattr(importlib.import_module(module_name), name)
    except Exception as error:
        raise ValueError(f"{module_name} cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(function):
        raise ValueError(f"{name} of {module_name} is not a function")
    return function  # type: ignore[no-any-return]


class FunctionProvider:
    """Every function that the routes name; a model's name is its `module:name`."""

    name = "function"

    def __init__(self, functions: dict[str, Function]) -> None:
        self._functions = functions

    def stream(self, request: TurnRequest, model: str) -> Events:
        """Answer a turn with what the function yields; see domain.ports.Provider.

        Strings are spoken, events are taken as they are, a string that is returned is the whole answer. A tool call
        may leave out its id. Without a Finish of its own the answer ends when the function does.
        """
        calls = ToolCalls()
        finish: Finish | None = None
        answer: Any = None
        try:
            answer = self._functions[model](request)
            for piece in [answer] if isinstance(answer, str) else answer:
                event = _event(piece, model, calls)
                if isinstance(event, Finish):
                    finish = event
                elif event is not None and (finish is None or isinstance(event, Usage)):
                    yield event
        except (GlottisError, *ENDINGS):
            raise
        except BaseException as error:  # gevent's Timeout among them, and whatever else a function may raise
            if ending := _ending_behind(error):
                raise ending from None
            raise FunctionFailed(detail=f"{model} raised {type(error).__name__} at {place_of(error)}") from error
        finally:
            # Not left to the garbage collector: a caller who hangs up ends the function's own calls at once.
            if hasattr(answer, "close"):
                # Whoever closes an answer wants to hear no more of it, errors neither.
                with contextlib.suppress(Exception):
                    answer.close()
        yield from calls.finish()
        yield finish or Finish("tool_calls" if calls else "stop")

    def first_token_s(self, request: TurnRequest, model: str) -> None:
        """Nobody knows; see domain.ports.Provider."""

    def heeds_temperature(self, request: TurnRequest, model: str) -> bool:
        """Nobody knows what it makes of one; see domain.ports.Provider."""
        return False

    def models(self) -> list[Model]:
        """Functions are offered under the names of their routes alone."""
        return []


def _ending_behind(error: BaseException) -> BaseException | None:
    """Return what ended the function from outside, where its own tidying up failed over it."""
    behind = error.__context__
    while behind is not None and not isinstance(behind, ENDINGS):
        behind = behind.__context__
    return behind


def _event(piece: Any, model: str, calls: ToolCalls) -> Event | None:
    """Return what a function yielded as an event, None where it says nothing; raises FunctionFailed for all else."""
    if isinstance(piece, str):
        piece.encode()  # half a character cannot be sent
        return Text(piece) if piece else None
    if isinstance(piece, Event):
        msgspec.convert(msgspec.to_builtins(piece), type(piece))  # raises ValidationError for a field of another type
    if isinstance(piece, ToolCall):
        return calls.piece(piece.index, piece.id, piece.name, piece.arguments)
    if not isinstance(piece, Event):
        raise FunctionFailed(detail=f"{model} yielded {type(piece).__name__}, neither text nor an event")
    return piece
