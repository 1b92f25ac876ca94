"""Conversations in Anthropic's shape: the turns, their order, and what they may hold."""

import base64
from typing import Any

import msgspec
import pytest

from app.domain.errors import ContentNotTaken
from app.domain.request import TurnRequest
from app.providers.anthropic.content import CONTINUE, SILENCE, to_system, to_turns, without_system_turns
from app.providers.anthropic.models import facts_of
from app.providers.anthropic.translate import to_body

PNG = base64.b64encode(b"png").decode()
USER = {"role": "user", "content": "Hello"}


def sent(body: Any) -> Any:
    """Return what arrives of it."""
    return msgspec.json.decode(msgspec.json.encode(body))


def text(words: str) -> dict[str, str]:
    """Make a block of text."""
    return {"type": "text", "text": words}


def call(call_id: str, arguments: str = "{}") -> Any:
    """Make a tool call of the history."""
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": arguments}}


def test_the_system_prompt_is_what_stands_first() -> None:
    """System and developer messages at the start are the prompt; blank ones are left out; the rest stays in place."""
    messages: Any = [
        {"role": "system", "content": "A"},
        {"role": "developer", "content": [{"type": "text", "text": "B"}, {"type": "text", "text": "C"}]},
        {"role": "system", "content": " "},
        {"role": "system", "content": None},
        USER,
        {"role": "system", "content": "D"},
    ]
    assert to_system(messages) == ([text("A"), text("B\nC")], messages[4:])


TURNS: list[tuple[str, list[Any], list[Any]]] = [
    ("nothing at all", [], [{"role": "user", "content": [text(SILENCE)]}]),
    ("a blank user", [{"role": "user", "content": "\n"}], [{"role": "user", "content": [text(SILENCE)]}]),
    (
        "a user's own dots are kept",
        [{"role": "user", "content": SILENCE}, USER],
        [{"role": "user", "content": [text(SILENCE), text("Hello")]}],
    ),
    (
        "a blank user beside words",
        [{"role": "user", "content": ""}, USER, {"role": "user", "content": []}],
        [{"role": "user", "content": [text("Hello")]}],
    ),
    (
        "an assistant that said nothing between two users",
        [USER, {"role": "assistant", "content": ""}, USER],
        [{"role": "user", "content": [text("Hello"), text("Hello")]}],
    ),
    (
        "a note in the middle is a user's, marked",
        [USER, {"role": "system", "content": "Be brief."}],
        [{"role": "user", "content": [text("Hello"), text("<system>\nBe brief.\n</system>")]}],
    ),
    (
        "a blank note is nothing",
        [
            *[USER, {"role": "assistant", "content": "A"}, {"role": "developer", "content": " "}],
            *[{"role": "assistant", "content": "B"}, USER],
        ],
        [
            {"role": "user", "content": [text("Hello")]},
            {"role": "assistant", "content": [text("A"), text("B")]},
            {"role": "user", "content": [text("Hello")]},
        ],
    ),
    (
        "an assistant's refusal is what it said",
        [{"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}, USER],
        [{"role": "assistant", "content": [text("No.")]}, {"role": "user", "content": [text("Hello")]}],
    ),
    (
        "the result of a call, between notes",
        [
            {"role": "assistant", "content": "", "tool_calls": [call("a", '{"x":1}')]},
            {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "Fine"}]},
            {"role": "user", "content": ""},
        ],
        [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": [text("Fine")]}]},
        ],
    ),
    (
        "a final assistant message",
        [USER, {"role": "assistant", "content": "A "}],
        [
            {"role": "user", "content": [text("Hello")]},
            {"role": "assistant", "content": [text("A ")]},
            {"role": "user", "content": [text(CONTINUE)]},
        ],
    ),
]


@pytest.mark.parametrize(("messages", "turns"), [row[1:] for row in TURNS], ids=[row[0] for row in TURNS])
def test_turns(messages: list[Any], turns: list[Any]) -> None:
    """Turns alternate, hold something, and end with the user's."""
    assert sent(to_turns(messages)) == turns


def test_a_prefill_does_not_end_in_white_space() -> None:
    """Where the model takes a prefill it stays last, without the space that Anthropic refuses (5)."""
    turns = to_turns([USER, {"role": "assistant", "content": [text("A "), text("B \n")]}], prefill=True)  # type: ignore[list-item]
    assert turns[-1] == {"role": "assistant", "content": [text("A "), text("B")]}


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ("", {}),
        ("  ", {}),
        ("{}", {}),
        ('{"a": [1]}', {"a": [1]}),
        ("null", {"arguments": None}),
        ("[1]", {"arguments": [1]}),
        ('{"a": ', {"arguments": '{"a": '}),
        ("NaN", {"arguments": "NaN"}),
        ("[" * 100_000, {"arguments": "[" * 100_000}),
    ],
)
def test_arguments_of_the_past(arguments: str, given: Any) -> None:
    """Arguments are an object; what is broken is kept as text, and history never fails (14)."""
    turns = to_turns([{"role": "assistant", "tool_calls": [call("a", arguments)]}])
    assert sent(turns[0]["content"][0]["input"]) == given


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        ),
        (
            {"type": "image_url", "image_url": {"url": f"data:IMAGE/JPG;charset=utf-8;base64,{PNG}"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": PNG}},
        ),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PNG}"}},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PNG}},
        ),
    ],
)
def test_images_and_documents(part: Any, block: Any) -> None:
    """Pictures by address or as data, and PDF documents (28)."""
    assert to_turns([{"role": "user", "content": [part]}]) == [{"role": "user", "content": [block]}]


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "image_url", "image_url": {"url": "ftp://x"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png,abc"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,!!"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": f"data:image/tiff;base64,{PNG}"}}, "image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:"}}, "image_url.url"),
        ({"type": "input_audio", "input_audio": {"data": PNG}}, "type"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "type"),
        ({"type": "file", "file": {"file_data": "plain"}}, "file.file_data"),
    ],
)
def test_what_cannot_be_translated(part: Any, param: str) -> None:
    """What Anthropic has no place for is the caller's to mend, and the field is named by its place in the request."""
    with pytest.raises(ContentNotTaken) as refused:
        to_turns([USER, {"role": "user", "content": [text("x"), part]}], first_index=3)  # type: ignore[list-item]
    assert refused.value.param == f"messages[4].content[1].{param}"


NOTE = {"role": "system", "content": "Be brief."}
SAID = {"role": "assistant", "content": "Well."}
USER_TURN = {"role": "user", "content": [text("Hello")]}
SAID_TURN = {"role": "assistant", "content": [text("Well.")]}
NOTE_TURN = {"role": "system", "content": [text("Be brief.")]}
INLINE = text("<system>\nBe brief.\n</system>")
CALLING = {"role": "assistant", "content": None, "tool_calls": [call("a")]}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "done"}

NATIVE: list[tuple[str, list[Any], list[Any]]] = [
    ("after the user, at the end", [USER, NOTE], [USER_TURN, NOTE_TURN]),
    ("after the user, before the assistant", [USER, NOTE, SAID, USER], [USER_TURN, NOTE_TURN, SAID_TURN, USER_TURN]),
    ("before the user: it comes after", [USER, SAID, NOTE, USER], [USER_TURN, SAID_TURN, USER_TURN, NOTE_TURN]),
    (
        "several are one, in their order",
        [USER, NOTE, {"role": "developer", "content": "Or not."}],
        [USER_TURN, {"role": "system", "content": [text("Be brief."), text("Or not.")]}],
    ),
    (
        "after a tool's result",
        [USER, CALLING, RESULT, NOTE],
        [
            USER_TURN,
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "done"}]},
            NOTE_TURN,
        ],
    ),
    (
        "between two of the assistant's, where no user speaks, it is inline",
        [USER, SAID, NOTE, SAID, USER],
        [USER_TURN, SAID_TURN, {"role": "user", "content": [INLINE]}, SAID_TURN, USER_TURN],
    ),
    ("a blank one is nothing", [USER, {"role": "system", "content": " "}], [USER_TURN]),
]


@pytest.mark.parametrize(("messages", "turns"), [row[1:] for row in NATIVE], ids=[row[0] for row in NATIVE])
def test_a_model_that_takes_system_turns_gets_them(messages: Any, turns: Any) -> None:
    """A system message in mid-conversation keeps its weight, in the one place where Anthropic takes it (6)."""
    assert to_turns(messages, system_turns=True) == turns


def test_system_turns_can_be_taken_back_inline() -> None:
    """A model that turns out not to take them gets the same turns that it would have got at once."""
    messages: Any = [USER, NOTE, SAID, USER, NOTE]
    assert without_system_turns(to_turns(messages, system_turns=True)) == to_turns(messages)


@pytest.mark.parametrize("role", ["assistant", "system", "developer"])
@pytest.mark.parametrize("before", [[], [USER]])
def test_only_users_send_pictures(role: str, before: list[Any]) -> None:
    """A picture where Anthropic takes words alone is refused by its message's path, not dropped."""
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    messages: Any = [*before, {"role": role, "content": [image]}]
    request = TurnRequest(model="m", messages=messages)
    with pytest.raises(ContentNotTaken) as refused:
        to_body(request, "claude-haiku-4-5", facts_of("claude-haiku-4-5"))
    assert refused.value.param == f"messages[{len(before)}]"
