"""Parameters: held against the openai SDK, with the seed's ranges."""

from typing import Any, get_args, get_type_hints

import pytest
from marshmallow import ValidationError
from openai.types.chat.completion_create_params import CompletionCreateParamsBase
from openai.types.shared_params.reasoning_effort import ReasoningEffort

from app.schemas.params import PARAMS, ParamsSchema, set_params

SCHEMA = ParamsSchema()

RANGES = [
    ("temperature", 0, 2),
    ("top_p", 0, 1),
    ("presence_penalty", -2, 2),
    ("frequency_penalty", -2, 2),
    ("top_logprobs", 0, 20),
]


@pytest.mark.parametrize(("name", "low", "high"), RANGES)
def test_ranges(name: str, low: int, high: int) -> None:
    """The ends of a range are in it, and what lies beyond is refused."""
    assert SCHEMA.load({name: low}) == {name: low}
    assert SCHEMA.load({name: high}) == {name: high}
    for beyond in (low - 1, high + 1):
        with pytest.raises(ValidationError):
            SCHEMA.load({name: beyond})


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("value", [1, 5000, 10**6])
def test_max_tokens_has_no_upper_end(name: str, value: int) -> None:
    """ElevenLabs' own example asks for 5000 tokens: without a limit of the operator's any number is taken."""
    assert SCHEMA.load({name: value}) == {name: value}


def test_reasoning_efforts_are_the_sdk_s() -> None:
    """Every effort that OpenAI knows is taken."""
    for effort in _words(ReasoningEffort):
        assert SCHEMA.load({"reasoning_effort": effort}) == {"reasoning_effort": effort}


@pytest.mark.parametrize("name", ["verbosity", "service_tier", "prompt_cache_retention"])
def test_words_are_the_sdk_s(name: str) -> None:
    """Every word that OpenAI knows for a parameter is taken."""
    words = _words(get_type_hints(CompletionCreateParamsBase)[name])
    assert words
    for word in words:
        assert SCHEMA.load({name: word}) == {name: word}


@pytest.mark.parametrize("name", sorted(PARAMS))
def test_null_is_the_same_as_leaving_it_out(name: str) -> None:
    """Platforms send null for what their users did not set: no parameter takes offence, and none is passed on."""
    assert set_params(SCHEMA.load({name: None})) == {}


@pytest.mark.parametrize(
    ("loaded", "params"),
    [
        ({"max_completion_tokens": 9}, {"max_tokens": 9}),
        ({"max_completion_tokens": 9, "max_tokens": 5}, {"max_tokens": 9}),
        ({"temperature": 0, "logprobs": False}, {"temperature": 0, "logprobs": False}),
        ({"model": "m", "stream": True, "elevenlabs_extra_body": {"a": 1}}, {}),
    ],
)
def test_set_params(loaded: dict[str, Any], params: dict[str, Any]) -> None:
    """Only parameters are passed on; OpenAI's two names of one bound are one; falsy values are values."""
    assert set_params(loaded) == params


NAMED = {"name": "n", "schema": {"type": "object"}, "strict": True, "description": "d"}


@pytest.mark.parametrize("named", [{"name": "n"}, NAMED, {"name": "n", "schema": None, "strict": None}])
def test_a_schema_may_be_asked_for(named: dict[str, Any]) -> None:
    """A response_format with a named schema is passed on as it came."""
    asked = {"response_format": {"type": "json_schema", "json_schema": named}}
    assert set_params(SCHEMA.load(asked)) == asked


@pytest.mark.parametrize("named", [None, 5, {}, {"name": 5}, *({**NAMED, name: 5} for name in NAMED)])
def test_a_schema_that_is_none_is_refused(named: Any) -> None:
    """What no provider could make sense of is refused here, with the field's place."""
    with pytest.raises(ValidationError) as caught:
        SCHEMA.load({"response_format": {"type": "json_schema", "json_schema": named}})
    assert "json_schema" in caught.value.messages["response_format"]


def _words(annotation: Any) -> list[str]:
    """Every string in the annotation's literals, however deep they stand."""
    return [word for each in get_args(annotation) for word in ([each] if isinstance(each, str) else _words(each))]
