"""The body of a request: all of Chat Completions is taken and passed on, and ElevenLabs' own traffic with it."""

from collections.abc import Callable
from typing import Any, get_type_hints

import pytest
from marshmallow import ValidationError
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming

from app.domain.errors import InvalidRequest
from app.domain.request import TurnRequest
from app.schemas.chat import CHAT, fields_of, load_request

USER = {"role": "user", "content": "Hey, who are you?"}
TOOL = {"type": "function", "function": {"name": "end_call", "parameters": {"type": "object"}}}
NAMED = {"type": "function", "function": {"name": "end_call"}}

PASSED_ON: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [USER],
    "tools": [TOOL],
    "tool_choice": NAMED,
    "stream": True,
    "stream_options": {"include_usage": True},
    "temperature": 0.5,
    "top_p": 0.9,
    "max_tokens": 5000,
    "max_completion_tokens": 5000,
    "presence_penalty": -0.5,
    "frequency_penalty": 0.5,
    "reasoning_effort": "low",
    "verbosity": "low",
    "stop": ["END"],
    "seed": 7,
    "logprobs": True,
    "top_logprobs": 3,
    "logit_bias": {"50256": -100},
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}},
    "parallel_tool_calls": False,
    "service_tier": "priority",
    "store": False,
    "metadata": {"a": "b"},
    "modalities": ["text"],
    "moderation": {"model": "omni-moderation-latest"},
    "prediction": {"type": "content", "content": "guess"},
    "prompt_cache_key": "agent-1",
    "prompt_cache_options": {"mode": "implicit"},
    "prompt_cache_retention": "24h",
    "safety_identifier": "caller-1",
    "user": "caller-1",
    "web_search_options": {"search_context_size": "low"},
}
"""Every parameter of today, with a value that has to reach the model."""

REFUSED: dict[str, tuple[Any, str]] = {
    "audio": ({"voice": "alloy", "format": "mp3"}, "the platform speaks; a model's own voice has no place in a stream"),
    "functions": ([{"name": "end_call"}], "deprecated by OpenAI for tools, and not of today's models"),
    "function_call": ("auto", "deprecated by OpenAI for tool_choice"),
    "n": (2, "a call has one answer"),
}
"""What is refused rather than ignored, because the answer would not be what was asked for; and why."""

BY_FIELD = {"model", "messages", "tools", "tool_choice", "stream", "stream_options"}
ELEVENLABS_OWN = {"user_id", "elevenlabs_extra_body"}


def load(body: Any, **kwargs: Any) -> TurnRequest:
    """Read a body."""
    return load_request(body, request_id="req_1", **kwargs)


def turn(**fields: Any) -> TurnRequest:
    """Read a body of the least that is needed and these fields."""
    return load({"model": "gpt-4o", "messages": [USER], **fields})


def test_every_parameter_of_the_sdk_is_decided_on() -> None:
    """A parameter that OpenAI adds fails here until somebody passes it on, or says why not; no other is known."""
    of_the_sdk = get_type_hints(CompletionCreateParamsStreaming).keys()
    assert PASSED_ON.keys() | REFUSED.keys() == of_the_sdk
    assert CHAT.fields.keys() == of_the_sdk | ELEVENLABS_OWN


@pytest.mark.parametrize("name", sorted(PASSED_ON.keys() - BY_FIELD))
def test_parameters_reach_the_model(name: str) -> None:
    """What the model needs is passed on as it was sent, and nothing is added."""
    value = PASSED_ON[name]
    assert turn(**{name: value}).params == {name.replace("max_completion_tokens", "max_tokens"): value}


def test_all_at_once() -> None:
    """A request may set everything."""
    request = load(PASSED_ON)
    assert (request.model, request.messages, request.tools) == ("gpt-4o", [USER], [TOOL])
    assert request.tool_choice == NAMED
    assert request.stream
    assert request.include_usage
    assert request.params.keys() == PASSED_ON.keys() - BY_FIELD - {"max_completion_tokens"}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_parameters(name: str) -> None:
    """What no answer could honour is refused, by its name."""
    with pytest.raises(InvalidRequest) as caught:
        turn(**{name: REFUSED[name][0]})
    assert caught.value.param == name
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "fields", [{"n": 1}, {"n": None}, {"functions": []}, {"function_call": "none"}, {"audio": None}]
)
def test_their_empty_values_are_harmless(fields: dict[str, Any]) -> None:
    """Clients that spell out the default are not refused for it, and it is not passed on."""
    assert turn(**fields).params == {}


ELEVENLABS_EXAMPLE = {
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "assistant", "content": "Hey I'm currently unavailable."},
        USER,
    ],
    "model": "gpt-4o",
    "temperature": 0.5,
    "max_tokens": 5000,
    "stream": True,
    "elevenlabs_extra_body": {"UUID": "123e4567", "parameter-1": "value-1"},
}


def test_the_example_of_elevenlabs_documentation() -> None:
    """The platform's own example is taken whole; its extra body stays with the turn and is not for the model."""
    request = load(ELEVENLABS_EXAMPLE, conversation_id_fields=["conversation_id", "UUID"])
    assert request.messages == ELEVENLABS_EXAMPLE["messages"]
    assert request.params == {"temperature": 0.5, "max_tokens": 5000}
    assert request.extra == ELEVENLABS_EXAMPLE["elevenlabs_extra_body"]
    assert request.conversation_id == "123e4567"
    assert request.stream


@pytest.mark.parametrize(
    ("fields", "params"),
    [
        ({"max_tokens": -1}, {}),
        ({"max_tokens": None}, {}),
        ({"max_completion_tokens": -1, "max_tokens": 9}, {"max_tokens": 9}),
        ({"temperature": None, "top_p": None, "tools": None, "stream_options": None}, {}),
        ({"reasoning_effort": None}, {}),
        ({"reasoning_effort": "none"}, {"reasoning_effort": "none"}),
        ({"user_id": "caller-1"}, {"user": "caller-1"}),
        ({"user_id": "caller-1", "user": "named"}, {"user": "named"}),
        ({"user_id": None}, {}),
        ({"user_id": ""}, {}),
        ({"elevenlabs_extra_body": {"temperature": 2, "user": "x"}}, {}),
        ({"elevenlabs_extra_body": None}, {}),
        (
            {
                "call": {},
                "metadata": {"crm": {"id": 1}},
                "phoneNumber": 1,
                "extra_metadata": {},
                "chat_template_kwargs": {},
                "extra": {"a": 1},
            },
            {},
        ),
    ],
)
def test_what_platforms_send(fields: dict[str, Any], params: dict[str, Any]) -> None:
    """Unlimited is unset, null is unset, user_id is user; unknown fields and the extra body never reach a model."""
    assert turn(**fields).params == params


@pytest.mark.parametrize(
    ("header", "extra", "found"),
    [
        ("conv_h", {"conversation_id": "conv_e"}, "conv_h"),
        (None, {"conversation_id": "conv_e", "UUID": "u"}, "conv_e"),
        (None, {"UUID": "u"}, "u"),
        ("", {"UUID": "u"}, "u"),
        (None, {"UUID": 12}, "12"),
        (None, {"UUID": ""}, None),
        (None, {"UUID": {"what": "was said"}}, None),
        (None, {"other": "x"}, None),
        (None, None, None),
    ],
)
def test_conversation_id(header: str | None, extra: Any, found: str | None) -> None:
    """The header names the conversation, else the first named field of the extra body, if it is a plain value."""
    body = {"model": "m", "messages": [USER], "elevenlabs_extra_body": extra}
    request = load(body, conversation_id=header, conversation_id_fields=["conversation_id", "UUID"])
    assert request.conversation_id == found


@pytest.mark.parametrize(
    ("fields", "include_usage"),
    [
        ({"stream_options": {"include_usage": True}}, True),
        ({"stream_options": {"include_usage": False}}, False),
        ({"stream_options": {"include_usage": None, "include_obfuscation": False, "new": 1}}, False),
        ({"stream_options": {}}, False),
        ({}, False),
    ],
)
def test_include_usage(fields: dict[str, Any], include_usage: bool) -> None:
    """The usage chunk is sent exactly when it was asked for."""
    assert turn(stream=True, **fields).include_usage is include_usage


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_an_operator_s_limit(name: str) -> None:
    """MAX_TOKENS_LIMIT refuses what is above it, by the name that was sent; leaving it out is not above it."""
    body = {"model": "m", "messages": [USER]}
    assert load(body, max_tokens_limit=100).params == {}
    assert load(body | {name: -1}, max_tokens_limit=100).params == {}
    assert load(body | {name: 100}, max_tokens_limit=100).params == {"max_tokens": 100}
    with pytest.raises(InvalidRequest, match="at most 100") as caught:
        load(body | {name: 101}, max_tokens_limit=100)
    assert caught.value.param == name


BAD: list[tuple[dict[str, Any], str]] = [
    ({"model": None}, "model"),
    ({"model": ""}, "model"),
    ({"model": 4}, "model"),
    ({"model": "m" * 257}, "model"),
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "Hi"}, "messages"),
    ({"temperature": "0.5"}, "temperature"),
    ({"temperature": 2.1}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"top_p": 1.1}, "top_p"),
    ({"presence_penalty": -2.1}, "presence_penalty"),
    ({"frequency_penalty": 2.1}, "frequency_penalty"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": -2}, "max_tokens"),
    ({"max_tokens": 1.5}, "max_tokens"),
    ({"seed": 10**400}, "seed"),
    ({"stream": "true"}, "stream"),
    ({"stream": 1}, "stream"),
    ({"stream_options": 5}, "stream_options"),
    ({"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
    ({"stop": ["1", "2", "3", "4", "5"]}, "stop"),
    ({"logit_bias": {"1": 101}}, "logit_bias.1"),
    ({"logit_bias": []}, "logit_bias"),
    ({"modalities": ["text", "audio"]}, "modalities[1]"),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"response_format": "json"}, "response_format"),
    ({"prediction": {"type": "other"}}, "prediction.type"),
    ({"reasoning_effort": "huge"}, "reasoning_effort"),
    ({"tools": {}}, "tools"),
    ({"tool_choice": "end_call"}, "tool_choice"),
    ({"tool_choice": {"type": "function", "function": {}}}, "tool_choice"),
    ({"elevenlabs_extra_body": "x"}, "elevenlabs_extra_body"),
    ({"user": 5}, "user"),
]


@pytest.mark.parametrize(("fields", "path"), BAD, ids=lambda row: row if isinstance(row, str) else None)
def test_a_bad_value_is_named_by_its_path(fields: dict[str, Any], path: str) -> None:
    """An error says which field is wrong, as OpenAI writes its path, in `param` and in the message."""
    with pytest.raises(InvalidRequest) as caught:
        turn(**fields)
    assert caught.value.param == path
    assert path in caught.value.message
    assert caught.value.status == 400


@pytest.mark.parametrize("name", ["model", "messages"])
def test_a_missing_field_is_named(name: str) -> None:
    """The model and the messages must be there."""
    with pytest.raises(InvalidRequest) as caught:
        load({"model": "m", "messages": [USER]} | {"temperature": 1} | {"stream": False} | {name: None})
    assert caught.value.param == name
    with pytest.raises(InvalidRequest) as caught:
        load({key: value for key, value in {"model": "m", "messages": [USER]}.items() if key != name})
    assert caught.value.param == name


@pytest.mark.parametrize("body", [None, [], "text", 5, True, [USER]])
def test_a_body_is_an_object(body: Any) -> None:
    """Any JSON that is no object is refused in words."""
    with pytest.raises(InvalidRequest, match="JSON object"):
        load(body)


ODD = [{"stream_options": {"include_usage": 1}}, {"stop": 5, "seed": "x", "model": ""}, {"tools": [1], "n": 2}]


def walked(walk: Callable[[dict[str, Any]], Any], body: dict[str, Any]) -> tuple[Any, Any]:
    """Return what a walk over a body's fields gives, and what is wrong with it."""
    try:
        return list(walk(body).items()), None
    except ValidationError as error:
        return None, error.messages


@pytest.mark.parametrize("fields", [PASSED_ON, {"unknown": 1, "user": None}, *ODD])
def test_marshmallow_finds_the_same(fields: dict[str, Any]) -> None:
    """The walk over a body's fields is our own, and gives what marshmallow's does, in its order."""
    body = {"messages": [USER], "model": "m", **fields}
    assert walked(fields_of, body) == walked(CHAT.load, body)


def test_marshmallow_misses_the_same() -> None:
    """A field that must be there."""
    assert walked(fields_of, {"stop": "END"}) == walked(CHAT.load, {"stop": "END"})
