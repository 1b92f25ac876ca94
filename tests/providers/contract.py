"""What every provider promises, as one suite: a provider's test file is only its set-up, a `stage` fixture.

`upstream_contract` adds what goes wrong between two machines.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import pytest
from providers.joined import joined

from app.domain import errors
from app.domain.events import Event, Finish, FinishReason, Start, Text, ToolCall, Usage
from app.domain.ports import Provider
from app.domain.request import TurnRequest

SOON_S = 2.0
"""Longer than anything that is promised to happen at once takes on a busy machine."""

Call = tuple[str, str, Sequence[str]]
"""A tool call: id, name, and the pieces of its arguments."""

TOOLS: list[Any] = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("end_call", "transfer_to_number")
]


class Stage(Protocol):
    """A provider's set-up: makes the provider, and says what its model does next."""

    model: str

    def provider(self) -> Provider:
        """Make the provider."""
        ...

    def says(self, *pieces: str, finish: FinishReason = "stop") -> None:
        """Say these words, and stop for this reason."""
        ...

    def calls(self, *calls: Call, text: Sequence[str] = ()) -> None:
        """Call tools, after saying something."""
        ...

    def falls_silent_after(self, text: str) -> None:
        """Say something, and then nothing for ever."""
        ...

    def saw_the_caller_leave(self) -> bool:
        """Wait for the caller to leave; whether that was noticed."""
        ...


def request(*, tools: Sequence[Any] = (), **params: Any) -> TurnRequest:
    """Make a turn of one question."""
    messages: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello there"}]
    return TurnRequest(model="any", messages=messages, tools=list(tools), params=params)


def ask(stage: Stage, provider: Provider | None = None, **options: Any) -> list[Event]:
    """Answer a turn to its end; the provider's own Start is left out."""
    events = list((provider or stage.provider()).stream(request(**options), stage.model))
    return [event for event in events if not isinstance(event, Start)]


def failure(stage: Stage, provider: Provider | None = None) -> errors.ProviderError:
    """Answer a turn that fails; what it fails with."""
    with pytest.raises(errors.ProviderError) as failed:
        ask(stage, provider)
    return failed.value


def called(events: Sequence[Event]) -> dict[int, tuple[str, str, str]]:
    """Fold tool calls: id, name and arguments of each index."""
    whole: dict[int, tuple[str, str, str]] = {}
    for event in events:
        if isinstance(event, ToolCall):
            if event.index not in whole:
                assert event.id, "the first piece of a call has its id"
                assert event.name, "the first piece of a call has its name"
                whole[event.index] = (event.id, event.name, "")
            else:
                assert (event.id, event.name) == (None, None), "only the first piece of a call is named"
            call_id, name, arguments = whole[event.index]
            whole[event.index] = (call_id, name, arguments + event.arguments)
    return whole


class ProviderContract:
    """The promises of `domain.ports.Provider`. `counts_tokens` is False where no upstream counts any."""

    counts_tokens = True

    def test_words_come_in_order_then_one_finish_and_one_usage(self, stage: Stage) -> None:
        """Pieces of text come as they were, or joined; one Finish follows, then one Usage, and nothing else."""
        stage.says("Hel", "lo ", "there.")
        events = joined(ask(stage))
        assert events[0] == Text("Hello there.")
        ends: list[type[Event]] = [Finish, Usage] if self.counts_tokens else [Finish]
        assert [type(event) for event in events[1:]] == ends
        assert events[1] == Finish("stop")

    def test_empty_pieces_are_left_out(self, stage: Stage) -> None:
        """What nobody can hear is no event."""
        stage.says("", "Well", "")
        assert [event for event in ask(stage) if isinstance(event, Text)] == [Text("Well")]

    @pytest.mark.parametrize("text", ["é", "日本語", "👩‍👩‍👧", "a\u2028b\u2029c\x85d", "\x00", '"\\\n', "data: x\n\n"])
    def test_any_character_comes_as_it_was(self, stage: Stage, text: str) -> None:
        """No character is lost or taken for a line break of the stream."""
        stage.says(text)
        assert [event for event in ask(stage) if isinstance(event, Text)] == [Text(text)]

    @pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
    def test_why_it_stopped(self, stage: Stage, reason: FinishReason) -> None:
        """A cut at the limit and a refusal are told from a natural end."""
        stage.says("So", finish=reason)
        assert [event for event in ask(stage) if isinstance(event, Finish)] == [Finish(reason)]

    def test_a_tool_call_in_fragments(self, stage: Stage) -> None:
        """Fragments of arguments add up, after the text, and the answer ends with tool_calls."""
        stage.calls(("call_1", "end_call", ['{"rea', 'son":"b', "ye é", '"}']), text=["Good ", "bye."])
        events = joined(ask(stage, tools=TOOLS))
        assert events[0] == Text("Good bye.")
        assert called(events) == {0: ("call_1", "end_call", '{"reason":"bye é"}')}
        assert [event for event in events if isinstance(event, Finish)] == [Finish("tool_calls")]

    def test_two_calls_at_once(self, stage: Stage) -> None:
        """Parallel calls are numbered from 0 whatever came before them, and keep their arguments apart."""
        calls = [("call_a", "end_call", ['{"a":', "1}"]), ("call_b", "transfer_to_number", ["{", '"b":2}'])]
        stage.calls(*calls, text=["One moment."])
        assert called(ask(stage, tools=TOOLS)) == {
            0: ("call_a", "end_call", '{"a":1}'),
            1: ("call_b", "transfer_to_number", '{"b":2}'),
        }

    def test_a_call_without_arguments(self, stage: Stage) -> None:
        """No arguments are an empty object: the platform parses them as JSON."""
        stage.calls(("call_a", "end_call", []), ("call_b", "transfer_to_number", ["{}"]))
        assert called(ask(stage, tools=TOOLS)) == {
            0: ("call_a", "end_call", "{}"),
            1: ("call_b", "transfer_to_number", "{}"),
        }

    def test_closing_in_mid_answer_ends_the_work(self, stage: Stage) -> None:
        """A caller who barges in stops the model: closing the answer ends it at the other end too."""
        stage.falls_silent_after("Well")
        events = stage.provider().stream(request(), stage.model)
        assert next(event for event in events if isinstance(event, Text)) == Text("Well")
        events.close()
        assert stage.saw_the_caller_leave()
        events.close()
        assert list(events) == []

    def test_closing_before_the_first_step_is_harmless(self, stage: Stage) -> None:
        """An answer that nobody began to read costs nothing to close."""
        stage.says("Never heard")
        events = stage.provider().stream(request(), stage.model)
        events.close()
        assert list(events) == []

    def test_the_request_is_not_changed(self, stage: Stage) -> None:
        """Fallback and hedging send one request to many providers: none of them changes it."""
        stage.says("Fine")
        turn, same = (request(tools=TOOLS, temperature=0.5, stop=["x", " "], max_tokens=9) for _ in range(2))
        list(stage.provider().stream(turn, stage.model))
        assert turn == same
