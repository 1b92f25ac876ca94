"""Messages and tools: every form that platforms send, and the path of what is wrong."""

from typing import Any

import pytest

from app.domain.errors import InvalidRequest
from app.domain.request import TurnRequest
from app.schemas.chat import load_request

TEXT = {"type": "text", "text": "Hi"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png", "detail": "low"}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
FILE = {"type": "file", "file": {"file_id": "file-1"}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "end_call", "arguments": "{}"}}
USER = {"role": "user", "content": "Hi"}


def load(messages: Any, **fields: Any) -> TurnRequest:
    """Read a body with these messages."""
    return load_request({"model": "m", "messages": messages, **fields}, request_id="req_1")


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "tool"])
@pytest.mark.parametrize(
    ("content", "taken"),
    [("Hi", "Hi"), ("", ""), (None, ""), ([TEXT], [TEXT]), ([TEXT, TEXT], [TEXT, TEXT]), ([], "")],
)
def test_content_in_all_its_forms_on_every_role(role: str, content: Any, taken: Any) -> None:
    """String, parts or null: all three are taken; nothing said is "", because OpenAI refuses null and no parts."""
    fields = {"tool_call_id": "call_1"} if role == "tool" else {}
    assert load([{"role": role, "content": content, **fields}]).messages == [
        {"role": role, "content": taken, **fields},
    ]


@pytest.mark.parametrize("part", [TEXT, IMAGE, AUDIO, FILE, {"type": "refusal", "refusal": "No."}])
def test_parts(part: dict[str, Any]) -> None:
    """Each kind of part that OpenAI has is taken as it is."""
    assert load([{"role": "user", "content": [part]}]).messages[0]["content"] == [part]


HISTORIES: list[list[dict[str, Any]]] = [
    [{"role": "system", "content": "You are an agent."}],
    [{"role": "system", "content": "You are an agent."}, {"role": "assistant", "content": "Hello, how can I help?"}],
    [USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}],
    [USER, {"role": "assistant", "content": "Bye.", "tool_calls": [CALL]}],
    [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "done", "tool_call_id": "call_1"},
    ],
    [{"role": "user", "content": ""}, {"role": "user", "content": "..."}],
    [USER, {"role": "assistant", "content": None, "refusal": "I can't help with that."}],
    [{"role": "user", "name": "Anna", "content": "Hi"}],
]


@pytest.mark.parametrize("history", HISTORIES)
def test_histories_of_voice_calls(history: list[dict[str, Any]]) -> None:
    """A turn may begin before the caller speaks, end with any role, and hold silence: it is taken as it is."""
    assert load(history).messages == history


@pytest.mark.parametrize(
    ("message", "taken"),
    [
        ({"role": "user", "content": "Hi", "id": "x", "metadata": {"a": 1}}, USER),
        ({"role": "user", "content": "Hi", "name": None, "tool_calls": None, "refusal": None}, USER),
        ({"role": "user", "content": "Hi", "tool_calls": "no list", "tool_call_id": 5}, USER),
        ({"role": "user"}, {"role": "user", "content": ""}),
        ({"role": "assistant", "content": "Hi", "tool_calls": []}, {"role": "assistant", "content": "Hi"}),
        ({"role": "assistant", "content": "", "tool_calls": None}, {"role": "assistant", "content": ""}),
        (
            {"role": "assistant", "content": "Hi", "reasoning_content": "hm", "audio": None, "function_call": None},
            {"role": "assistant", "content": "Hi"},
        ),
        ({"role": "assistant", "tool_calls": [CALL]}, {"role": "assistant", "content": None, "tool_calls": [CALL]}),
        (
            {"role": "assistant", "content": "", "tool_calls": [CALL | {"index": 0}]},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
        ),
        (
            {"role": "tool", "content": "done", "tool_call_id": "c", "tool_name": "x"},
            {"role": "tool", "content": "done", "tool_call_id": "c"},
        ),
    ],
)
def test_what_openai_does_not_know_is_left_out(message: dict[str, Any], taken: dict[str, Any]) -> None:
    """Unknown fields, nulls and empty lists, which OpenAI refuses, go no further than here."""
    assert load([message]).messages == [taken]


@pytest.mark.parametrize(
    ("call", "taken"),
    [
        (CALL, CALL),
        ({key: value for key, value in CALL.items() if key != "type"}, CALL),
        (CALL | {"function": {"name": "f"}}, CALL | {"function": {"name": "f", "arguments": ""}}),
        (CALL | {"function": {"name": "f", "arguments": None}}, CALL | {"function": {"name": "f", "arguments": ""}}),
        (CALL | {"extra_content": {"google": {}}}, CALL),
    ],
)
def test_tool_calls_of_the_history(call: dict[str, Any], taken: dict[str, Any]) -> None:
    """A call needs an id and a name; what else it lacks is made up, and what is more is left out."""
    assert load([{"role": "assistant", "tool_calls": [call]}]).messages[0]["tool_calls"] == [taken]


@pytest.mark.parametrize(
    ("tool", "taken"),
    [
        ({"name": "f"}, {"name": "f"}),
        ({"name": "f", "description": None, "parameters": None, "strict": None}, {"name": "f"}),
        (
            {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True},
            {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True},
        ),
        ({"name": "f", "response_timeout_secs": 20, "disable_interruptions": False}, {"name": "f"}),
    ],
)
@pytest.mark.parametrize("outer", [{"type": "function"}, {}, {"type": "function", "id": "tool_1"}])
def test_tools(outer: dict[str, Any], tool: dict[str, Any], taken: dict[str, Any]) -> None:
    """A tool reaches the model with what OpenAI knows of it; as in the seed, its type may be left out."""
    assert load([USER], tools=[outer | {"function": tool}]).tools == [{"type": "function", "function": taken}]


@pytest.mark.parametrize("choice", ["none", "auto", "required", {"type": "function", "function": {"name": "f"}}])
def test_tool_choice(choice: Any) -> None:
    """Each way to choose is passed on."""
    assert load([USER], tool_choice=choice).tool_choice == choice


def user(*parts: Any) -> list[Any]:
    """Make a history whose last message has these parts."""
    return [USER, USER, {"role": "user", "content": list(parts)}]


def calling(*calls: Any) -> list[Any]:
    """Make a history that ends with these tool calls."""
    return [USER, {"role": "assistant", "content": None, "tool_calls": list(calls)}]


BAD: list[tuple[Any, str]] = [
    ([5], "messages[0]"),
    ([USER, None], "messages[1]"),
    ([{}], "messages[0].role"),
    ([{"role": "robot", "content": "Hi"}], "messages[0].role"),
    ([{"role": ["user"], "content": "Hi"}], "messages[0].role"),
    ([{"role": "function", "content": "Hi", "name": "f"}], "messages[0].role"),
    ([{"role": "user", "content": 5}], "messages[0].content"),
    ([{"role": "user", "content": {"type": "text"}}], "messages[0].content"),
    (user("Hi"), "messages[2].content[0]"),
    (user({"text": "Hi"}), "messages[2].content[0]"),
    (user(TEXT, {"type": "video_url", "video_url": {}}), "messages[2].content[1]"),
    (user({"type": ["text"], "text": "Hi"}), "messages[2].content[0]"),
    (user({"type": "text", "text": None}), "messages[2].content[0].text"),
    (user({"type": "image_url", "image_url": "https://example.com"}), "messages[2].content[0].image_url"),
    (user({"type": "image_url", "image_url": {"url": 5}}), "messages[2].content[0].image_url"),
    (user({"type": "input_audio", "input_audio": {}}), "messages[2].content[0].input_audio"),
    (user({"type": "file"}), "messages[2].content[0].file"),
    ([{"role": "user", "content": "Hi", "name": 5}], "messages[0].name"),
    ([{"role": "assistant", "content": "Hi", "refusal": 5}], "messages[0].refusal"),
    ([{"role": "tool", "content": "done"}], "messages[0].tool_call_id"),
    ([{"role": "tool", "content": "done", "tool_call_id": 5}], "messages[0].tool_call_id"),
    ([USER, {"role": "assistant", "tool_calls": CALL}], "messages[1].tool_calls"),
    (calling(CALL, 5), "messages[1].tool_calls[1]"),
    (calling({"function": {"name": "f", "arguments": "{}"}}), "messages[1].tool_calls[0]"),
    (calling({"id": "c", "function": {"arguments": "{}"}}), "messages[1].tool_calls[0]"),
    (calling({"id": "c", "function": {"name": "f", "arguments": {"a": 1}}}), "messages[1].tool_calls[0]"),
]


@pytest.mark.parametrize(("messages", "path"), BAD, ids=lambda row: row if isinstance(row, str) else None)
def test_a_bad_message_is_named_by_its_path(messages: Any, path: str) -> None:
    """An error in a long history says which message, and what in it."""
    with pytest.raises(InvalidRequest) as caught:
        load(messages)
    assert caught.value.param == path


@pytest.mark.parametrize(
    ("tool", "path"),
    [
        (5, "tools[1]"),
        ({"type": "function"}, "tools[1]"),
        ({"type": "function", "function": {"name": 5}}, "tools[1]"),
        ({"type": "custom", "custom": {"name": "f"}}, "tools[1].type"),
        ({"type": 5, "function": {"name": "f"}}, "tools[1].type"),
        ({"type": "function", "function": {"name": "f", "parameters": "{}"}}, "tools[1].function.parameters"),
        ({"type": "function", "function": {"name": "f", "description": 5}}, "tools[1].function.description"),
        ({"type": "function", "function": {"name": "f", "strict": "yes"}}, "tools[1].function.strict"),
    ],
)
def test_a_bad_tool_is_named_by_its_path(tool: Any, path: str) -> None:
    """An error among the tools says which one."""
    good = {"type": "function", "function": {"name": "f"}}
    with pytest.raises(InvalidRequest) as caught:
        load([USER], tools=[good, tool])
    assert caught.value.param == path
