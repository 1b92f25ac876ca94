"""Whatever JSON comes in, reading it ends in a request or in a refusal, never in a stumble."""

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.errors import InvalidRequest
from app.domain.request import TurnRequest
from app.schemas.chat import CHAT, load_request

USER = {"role": "user", "content": "Hi"}
FULL: dict[str, Any] = {
    "model": "m",
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
    "tool_choice": "auto",
    "stream_options": {"include_usage": True},
    "n": 1,
    **dict.fromkeys(sorted(CHAT.fields.keys() - {"model", "messages", "tools", "tool_choice", "stream_options", "n"})),
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def nearly(*good: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """One of these objects, in which one field may be anything."""
    return st.sampled_from(good).flatmap(
        lambda whole: st.dictionaries(st.sampled_from(sorted(whole)), JSON, max_size=1).map(lambda odd: whole | odd)
    )


CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
PART = nearly({"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "data:,"}}, {"type": "file"})
MESSAGE = nearly(
    USER,
    {"role": "assistant", "content": None, "tool_calls": [CALL], "refusal": None},
    {"role": "tool", "content": "done", "tool_call_id": "call_1", "name": "n"},
) | st.lists(PART, max_size=2).map(lambda parts: {"role": "user", "content": parts})
MESSAGES = st.lists(MESSAGE, min_size=1, max_size=3) | JSON
BODY = st.builds(
    lambda body, messages: body | {"messages": messages},
    nearly({"model": "m", "user_id": "u", "elevenlabs_extra_body": {"UUID": "u"}, "n": 1}, FULL),
    MESSAGES,
)


@settings(max_examples=300, deadline=None)
@given(JSON | BODY)
def test_whatever_comes_is_a_request_or_is_refused(body: Any) -> None:
    """No JSON value makes the server stumble, none is changed by reading it, and a refusal names its field."""
    before = copy.deepcopy(body)
    outcome: TurnRequest | InvalidRequest
    try:
        outcome = load_request(body, request_id="req_1", conversation_id_fields=["UUID"], max_tokens_limit=5000)
    except InvalidRequest as error:
        outcome = error
    assert repr(body) == repr(before)
    if isinstance(outcome, TurnRequest):
        assert all({"role", "content"} <= message.keys() for message in outcome.messages)
    else:
        field, _, _ = (outcome.param or "model").replace("[", ".").partition(".")
        assert field in CHAT.fields
