"""The document's schema of a request and the reader of requests agree, on any JSON."""

from typing import Any

import jsonschema_rs
from hypothesis import example, given, settings
from hypothesis import strategies as st
from schemas.test_anything import BODY, FULL, JSON, nearly

from app.domain.errors import InvalidRequest
from app.schemas.chat import load_request
from app.schemas.document import schemas
from app.schemas.params import PARAMS

LIMIT = 5000
_COMPONENTS = {"schemas": schemas(LIMIT)}
REQUEST = jsonschema_rs.Draft202012Validator({"$ref": "#/components/schemas/ChatRequest", "components": _COMPONENTS})
USER = {"role": "user", "content": "Hi"}

CALLS = nearly({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}, {"id": "c"})
FUNCTION = nearly({"name": "f", "description": "d", "parameters": {}, "strict": True})
TOOLS = st.builds(
    lambda tool, function: [tool | {"function": function}], nearly({"type": "function"}, {"x": 1}), FUNCTION | JSON
)
CHOICE = nearly({"type": "function", "function": {"name": "f"}}) | st.sampled_from(["none", "auto", "required"])
PARTS = st.lists(
    nearly(
        {"type": "refusal", "refusal": "No."},
        {"type": "input_audio", "input_audio": {"data": "d", "format": "mp3"}},
        {"type": "file", "file": {"file_id": "f"}},
    ),
    max_size=2,
)
SCHEMA = nearly({"name": "n", "schema": {}, "strict": True, "description": "d"}, {"schema": {}})
FORMAT = st.builds(lambda form, named: form | {"json_schema": named}, nearly({"type": "json_schema"}), SCHEMA | JSON)
NUMBERS = st.floats(-3, 130) | st.integers(-3, 130) | st.sampled_from([1.0, True, False, -1.0, 2**63, -(2**63), 1e300])
ANY_FIELD = st.dictionaries(st.sampled_from(sorted(FULL)), JSON | NUMBERS, max_size=2)
BODIES = (
    (
        st.builds(lambda body, tools: body | {"messages": [USER], "tools": tools}, ANY_FIELD, TOOLS)
        | st.builds(lambda choice: {"messages": [USER], "tool_choice": choice}, CHOICE)
        | st.builds(lambda form: {"messages": [USER], "response_format": form}, FORMAT)
        | st.builds(lambda parts: {"messages": [{"role": "user", "content": parts}]}, PARTS)
        | st.builds(lambda calls: {"messages": [{"role": "assistant", "tool_calls": [calls]}]}, CALLS)
        | st.builds(lambda fields: {"messages": [USER]} | fields, ANY_FIELD)
    ).map(lambda body: {"model": "m"} | body)
    | BODY
    | JSON
)


def is_finite(value: Any) -> bool:
    """Whether JSON can say this value: it has no NaN and no Infinity."""
    if isinstance(value, dict | list):
        return all(map(is_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or abs(value) < float("inf")


@settings(max_examples=600, deadline=None, derandomize=True)
@given(BODIES.filter(is_finite))
@example({"model": "m", "messages": [USER], "n": True})
@example({"model": "m", "messages": [USER], "n": 1.0})
@example({"model": "m", "messages": [USER], "max_tokens": -1.0})
@example({"model": "m", "messages": [USER], "max_tokens": LIMIT + 1})
@example({"model": "m", "messages": [USER], "max_tokens": LIMIT + 1, "max_completion_tokens": 5})
@example({"model": "m", "messages": [USER], "seed": 10**400})
@example({"model": "m" * 257, "messages": [USER]})
def test_the_reader_takes_what_the_document_says(body: Any) -> None:
    """A body is valid by the document exactly if the server reads it."""
    taken = True
    try:
        load_request(body, request_id="req_1", max_tokens_limit=LIMIT)
    except InvalidRequest:
        taken = False
    assert REQUEST.is_valid(body) is taken


def test_every_parameter_can_be_wrong() -> None:
    """No parameter is described so loosely that anything passes."""
    assert not [name for name in PARAMS if REQUEST.is_valid({"model": "m", "messages": [USER], name: 150.5})]
