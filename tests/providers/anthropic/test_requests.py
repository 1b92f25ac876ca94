"""The request direction of docs/anthropic.md, case by case: the bodies, and that the strict rules take them."""

from copy import deepcopy
from typing import Any

import msgspec
import pytest
from providers.anthropic.cases.case import (
    JSON,
    OBJECT,
    call,
    given_back,
    result,
    said,
    text,
    tool,
    turns,
    used,
    user,
)
from upstreams.anthropic_messages import check_messages
from upstreams.anthropic_rules import check_parameters

from app.domain.errors import ProviderRequestRefused
from app.domain.request import TurnRequest
from app.engine.repair import INTERRUPTED, repaired
from app.providers.anthropic.content import CONTINUE, SILENCE
from app.providers.anthropic.models import facts_of
from app.providers.anthropic.names import fitting
from app.providers.anthropic.translate import CACHED, DEFAULT_MAX_TOKENS, to_body

VERSION = "2026-10-21"


def body_of(model: str = "claude-haiku-4-5", **fields: Any) -> JSON:
    """Translate a turn, after its history was mended; the body, which the strict rules take."""
    fields.setdefault("messages", [user("Hi")])
    request = TurnRequest(model="any", **{**fields, "messages": repaired(fields["messages"])})
    before = deepcopy(request)
    body = msgspec.json.decode(msgspec.json.encode(to_body(request, model, facts_of(model))))
    assert request == before, "the request was changed"
    check_parameters(body, VERSION)
    check_messages(body)
    assert isinstance(body, dict)
    return body


HELLO = user("Hi")
LONG = "Be brief. " * 2000
TOOL = {"name": "f", "input_schema": OBJECT}
CALLED = [HELLO, said(None, call("a")), result("a"), HELLO]
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
PICTURE = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
OPUS, SONNET, HAIKU = "claude-opus-5-5", "claude-sonnet-5", "claude-haiku-4-5"
ABSENT: Any = object()

# Case of docs/anthropic.md, the request's fields, and what the body has of it.
CASES: list[tuple[int, JSON, JSON]] = [
    (1, {"messages": [HELLO, user("there"), said("A"), said("B"), HELLO]},
        turns([text("Hi"), text("there")], [text("A"), text("B")], [text("Hi")])),
    (2, {"messages": [user("")]}, turns([text(SILENCE)])),
    (2, {"messages": [user([])]}, turns([text(SILENCE)])),
    (2, {"messages": [user("\n")]}, turns([text(SILENCE)])),
    (2, {"messages": [{"role": "user", "content": None}]}, turns([text(SILENCE)])),
    (2, {"messages": [user(text(""), text("Hi"))]}, turns([text("Hi")])),
    (2, {"messages": [user(text(" "), IMAGE)]}, turns([PICTURE])),
    (2, {"messages": [user("  Hi\n")]}, turns([text("  Hi\n")])),
    (3, {"messages": [HELLO, said(""), user("You there?")]}, turns([text("Hi"), text("You there?")])),
    (3, {"messages": [HELLO, said([]), HELLO]}, turns([text("Hi"), text("Hi")])),
    (3, {"messages": [HELLO, said("", call("a")), result("a")]}, turns([text("Hi")], [used("a")], [given_back("a")])),
    (4, {"messages": [{"role": "system", "content": ""}, HELLO]}, {"system": ABSENT}),
    (4, {"messages": [{"role": "system", "content": "  "}, HELLO]}, {"system": ABSENT}),
    (4, {"messages": [{"role": "system", "content": [text("")]}, HELLO]}, {"system": ABSENT}),
    (4, {"messages": [{"role": "system", "content": [text("Be"), text("brief")]}, HELLO]},
        {"system": [text("Be\nbrief")]}),
    (5, {"messages": [HELLO, said("Well \n")]}, turns([text("Hi")], [text("Well")])),
    (5, {"messages": [HELLO, said("Well ")], "model": "claude-sonnet-4-6"},
        turns([text("Hi")], [text("Well ")], [text(CONTINUE)])),
    (5, {"messages": [HELLO, said("Well")], "model": OPUS}, turns([text("Hi")], [text("Well")], [text(CONTINUE)])),
    (6, {"messages": [{"role": "system", "content": "A"}, HELLO, {"role": "system", "content": "B"}, HELLO]},
        {"system": [text("A")],
         **turns([text("Hi"), text("<system>\nB\n</system>"), text("Hi")])}),
    (6, {"messages": [HELLO, said("A"), {"role": "developer", "content": [text("B")]}]},
        turns([text("Hi")], [text("A")], [text("<developer>\nB\n</developer>")])),
    (7, {"messages": [{"role": "system", "content": "A"}]}, turns([text(SILENCE)])),
    (7, {"messages": [said("Hello, this is the clinic."), HELLO]},
        {"messages": [said([text("Hello, this is the clinic.")]), user([text("Hi")])]}),
    (8, {"messages": [HELLO, said("One moment.", call("a")), result("a")]},
        turns([text("Hi")], [text("One moment."), used("a")], [given_back("a")])),
    (9, {"messages": [HELLO, said(None, call("a"), call("b")), result("b", "B"), result("a", "A"), user("So?")]},
        turns([text("Hi")], [used("a"), used("b")], [given_back("b", "B"), given_back("a", "A"), text("So?")])),
    (10, {"messages": [HELLO, said("Wait", call("a")), user("Stop")]},
        turns([text("Hi")], [text("Wait"), used("a")], [given_back("a", INTERRUPTED), text("Stop")])),
    (10, {"messages": [HELLO, said(None, call("a"), call("b")), result("b")]},
        turns([text("Hi")], [used("a"), used("b")], [given_back("b"), given_back("a", INTERRUPTED)])),
    (10, {"messages": [HELLO, said(None, call("a"))]},
        turns([text("Hi")], [used("a")], [given_back("a", INTERRUPTED)])),
    (11, {"messages": [HELLO, result("x", "Lost")]}, turns([text("Hi"), text("[Result of a tool]\nLost")])),
    (11, {"messages": [HELLO, said(None, call("a")), result("a", "1"), result("a", "2")]},
        turns([text("Hi")], [used("a")], [given_back("a", "2")])),
    (11, {"messages": [*CALLED, said("", call("a")), result("a", "again")]},
        turns([text("Hi")], [used("a")], [given_back("a"), text("Hi")], [used("a_2")], [given_back("a_2", "again")])),
    *[(12, {"messages": [HELLO, said(None, call("a")), result("a", content)]},
        turns([text("Hi")], [used("a")], [given_back("a", content)])) for content in ("", " ")],
    *[(12, {"messages": [HELLO, said(None, call("a")), result("a", content)]},
        turns([text("Hi")], [used("a")], [given_back("a", "")])) for content in (None, [])],
    (13, {"messages": [HELLO, said(None, call("call:1.2")), result("call:1.2")]},
        turns([text("Hi")], [used(fitting("call:1.2"))], [given_back(fitting("call:1.2"))])),
    (14, {"messages": [HELLO, said(None, call("a", arguments="")), result("a")]},
        turns([text("Hi")], [used("a")], [given_back("a")])),
    (14, {"messages": [HELLO, said(None, call("a", arguments='{"x": "é"}')), result("a")]},
        turns([text("Hi")], [used("a", x="é")], [given_back("a")])),
    (14, {"messages": [HELLO, said(None, call("a", arguments='{"x":')), result("a")]},
        turns([text("Hi")], [used("a", arguments='{"x":')], [given_back("a")])),
    (15, {"tools": [tool()]}, {"tools": [TOOL]}),
    (15, {"tools": [tool(parameters={"anyOf": [{"properties": {"a": {"type": "string"}}}]})]},
        {"tools": [{"name": "f", "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}}}]}),
    (16, {"tools": [tool(description=None)]}, {"tools": [TOOL]}),
    (16, {"tools": [tool("a b", description="Does."), tool("a_b")]},
        {"tools": [{"name": fitting("a b"), "description": "Does.", "input_schema": OBJECT},
                   {"name": "a_b", "input_schema": OBJECT}]}),
    (17, {"messages": CALLED},
        {"tools": [TOOL], "tool_choice": {"type": "none"}}),
    (17, {"messages": CALLED, "tool_choice": "required"}, {"tool_choice": {"type": "none"}}),
    (18, {"tools": [tool()]}, {"tool_choice": ABSENT}),
    (18, {"tools": [tool()], "tool_choice": "auto"}, {"tool_choice": {"type": "auto"}}),
    (18, {"tools": [tool()], "tool_choice": "none"}, {"tool_choice": {"type": "none"}}),
    (18, {"tools": [tool()], "tool_choice": "required"}, {"tool_choice": {"type": "any"}}),
    (18, {"tools": [tool("a b")], "tool_choice": tool("a b")},
        {"tool_choice": {"type": "tool", "name": fitting("a b")}}),
    (18, {"tools": [tool()], "params": {"parallel_tool_calls": True}}, {"tool_choice": ABSENT}),
    (18, {"tools": [tool()], "params": {"parallel_tool_calls": False}},
        {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}),
    (18, {"tools": [tool()], "tool_choice": "none", "params": {"parallel_tool_calls": False}},
        {"tool_choice": {"type": "none"}}),
    (18, {"tools": [tool()], "tool_choice": "required", "params": {"parallel_tool_calls": False}},
        {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}}),
    (18, {"tool_choice": "auto", "params": {"parallel_tool_calls": False}}, {"tool_choice": ABSENT, "tools": ABSENT}),
    (19, {"tools": [tool()], "tool_choice": "required", "model": OPUS},
        {"tool_choice": {"type": "auto"}, "system": [text("Call one of the tools now.")]}),
    (19, {"tools": [tool()], "tool_choice": tool(), "model": "claude-haiku-5-5"},
        {"tool_choice": {"type": "auto"}, "system": [text("Call the tool f now.")]}),
    (19, {"tools": [tool()], "tool_choice": "required", "model": SONNET}, {"tool_choice": {"type": "any"}}),
    (19, {"tools": [tool()], "tool_choice": "required", "model": SONNET, "params": {"reasoning_effort": "high"}},
        {"tool_choice": {"type": "auto"}, "system": [text("Call one of the tools now.")]}),
    (20, {}, {"max_tokens": DEFAULT_MAX_TOKENS}),
    (20, {"params": {"max_tokens": 7}}, {"max_tokens": 7}),
    (20, {"params": {"max_tokens": 10**9}}, {"max_tokens": 64_000}),
    (21, {"params": {"temperature": 1.7, "top_p": 0.5, "seed": 1, "frequency_penalty": 1, "logit_bias": {"5": 1},
                     "presence_penalty": 1, "logprobs": True, "top_logprobs": 2, "verbosity": "low", "store": True,
                     "service_tier": "flex", "prompt_cache_key": "x", "safety_identifier": "y"}},
        dict.fromkeys(("temperature", "top_p", "top_k", "seed", "service_tier", "logprobs"), ABSENT)),
    (22, {"params": {"stop": "END"}}, {"stop_sequences": ["END"]}),
    (22, {"params": {"stop": ["\n", "END", "", "  "]}}, {"stop_sequences": ["END"]}),
    (22, {"params": {"stop": "\n"}}, {"stop_sequences": ABSENT}),
    (22, {"params": {"stop": []}}, {"stop_sequences": ABSENT}),
    (23, {"params": {"user": ""}}, {"metadata": ABSENT}),
    (24, {"model": SONNET}, {"thinking": {"type": "disabled"}, "output_config": ABSENT}),
    (24, {"model": SONNET, "params": {"reasoning_effort": "none"}}, {"thinking": {"type": "disabled"}}),
    (24, {"model": SONNET, "params": {"reasoning_effort": "minimal"}}, {"thinking": {"type": "disabled"}}),
    (24, {"model": SONNET, "params": {"reasoning_effort": "max"}},
        {"thinking": ABSENT, "output_config": {"effort": "max"}}),
    (24, {"model": OPUS}, {"thinking": ABSENT, "output_config": {"effort": "low"}}),
    (24, {"model": OPUS, "params": {"reasoning_effort": "none"}}, {"output_config": {"effort": "low"}}),
    (24, {"model": "claude-fable-5-2", "params": {"reasoning_effort": "max"}}, {"output_config": {"effort": "high"}}),
    (24, {"model": "claude-sonnet-5-5"}, {"thinking": {"type": "disabled"}}),
    (24, {"model": HAIKU, "params": {"reasoning_effort": "high"}}, {"thinking": ABSENT, "output_config": ABSENT}),
    (24, {"model": "claude-unknown-1", "params": {"reasoning_effort": "high"}}, {"output_config": ABSENT}),
    (25, {"messages": [HELLO, {**said("A"), "reasoning_content": "Hm"}, HELLO]},
        turns([text("Hi")], [text("A")], [text("Hi")])),
    (26, {"params": {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": OBJECT}}}},
        {"output_config": {"format": {"type": "json_schema", "schema": OBJECT}}, "system": ABSENT}),
    (26, {"model": OPUS,
          "params": {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": OBJECT}}}},
        {"output_config": {"format": {"type": "json_schema", "schema": OBJECT}, "effort": "low"}}),
    (26, {"params": {"response_format": {"type": "text"}}}, {"output_config": ABSENT}),
    (26, {"params": {"response_format": {"type": "json_object"}}},
        {"output_config": ABSENT,
         "system": [text("Answer with a single JSON object and nothing else.")]}),
    (27, {"tools": [tool()],
          "messages": [{"role": "system", "content": "A"}, {"role": "system", "content": LONG}, HELLO]},
        {"cache_control": CACHED, "system": [text("A"), {**text(LONG), "cache_control": CACHED}],
         "tools": [{"name": "f", "input_schema": OBJECT}]}),
    (27, {"tools": [tool(description=LONG)]},
        {"cache_control": CACHED,
         "tools": [{"name": "f", "description": LONG, "input_schema": OBJECT, "cache_control": CACHED}]}),
    (27, {"messages": [{"role": "system", "content": "A"}, HELLO]}, {"cache_control": ABSENT, "system": [text("A")]}),
    (27, {"messages": [{"role": "system", "content": LONG}, HELLO], "prompt_caching": False},
        {"cache_control": ABSENT, "system": [text(LONG)]}),
    (28, {"messages": [user(text("See"), IMAGE)]},
        turns([text("See"), PICTURE])),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "expected"),
    [row[1:] for row in CASES],
    ids=[f"case {row[0]}, {number}" for number, row in enumerate(CASES)],
)
def test_cases(fields: JSON, expected: JSON) -> None:
    """Each case comes to the body that Anthropic wants of it, and the request stays as it was."""
    body = body_of(**fields)
    assert {name: body.get(name, ABSENT) for name in expected} == expected
    assert body["stream"] is True


def test_the_table_has_every_case_of_a_request() -> None:
    """Cases 1 to 28 are about requests; 29 to 35 about answers are in test_answers.py."""
    assert {row[0] for row in CASES} == set(range(1, 29))


def test_a_user_is_hashed() -> None:
    """One user has one id, and it tells nothing (23)."""
    ids = [body_of(params={"user": name})["metadata"]["user_id"] for name in ("a@b.c", "a@b.c", "+4930123456")]
    assert ids[0] == ids[1] != ids[2]
    assert all(len(each) == 64 and int(each, 16) for each in ids)


@pytest.mark.parametrize("structured", [True, False])
def test_a_schema_is_said_in_words_where_it_cannot_be_asked_for(structured: bool) -> None:
    """A model without structured output is told the schema (26)."""
    facts = msgspec.structs.replace(facts_of(HAIKU), structured=structured)
    params = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": OBJECT}}}
    body = to_body(TurnRequest(model="m", messages=[HELLO], params=params), HAIKU, facts)  # type: ignore[list-item]
    assert ("output_config" in body) is structured
    assert ('{"type":"object","properties":{}}' in str(body.get("system"))) is not structured


def test_of_two_tools_of_one_name_the_first_counts() -> None:
    """Anthropic refuses a name that stands twice."""
    body = body_of(HAIKU, messages=[HELLO], tools=[tool("f", description="one"), tool("g"), tool("f")])
    assert [(each["name"], each.get("description")) for each in body["tools"]] == [("f", "one"), ("g", None)]


def test_a_choice_that_is_no_tool_is_refused() -> None:
    """The field is named before anybody is asked."""
    with pytest.raises(ProviderRequestRefused) as refused:
        body_of(HAIKU, messages=[HELLO], tools=[tool("f")], tool_choice=tool("g"))
    assert refused.value.param == "tool_choice"
