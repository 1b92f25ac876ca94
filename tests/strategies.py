"""Requests as callers may send them: every parameter, every form of content, any tools, and histories of any shape.

All are bodies that `load_request` takes. What OpenAI itself refuses by name is left out, for then it is the caller's to
mend: parts that a role cannot hold, a name with spaces, top_logprobs without logprobs, a choice of no declared tool.
"""

import base64
from typing import Any

from hypothesis import strategies as st

Drawn = st.SearchStrategy[Any]
JSON = dict[str, Any]

TEXTS = st.sampled_from(["", " ", "\n", "Hello", "Good bye. ", "é\u2028", "...", "(continue)", "\x00"]) | st.text(
    max_size=9
)
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def optional(fields: dict[str, Drawn]) -> Drawn:
    """Any of these fields, each with its value or null."""
    return st.fixed_dictionaries({}, optional={name: st.none() | values for name, values in fields.items()})


def part(kind: str, **fields: Any) -> JSON:
    """Make a content part."""
    return {"type": kind, **fields}


def image(url: str) -> JSON:
    """Make an image by its address."""
    return part("image_url", image_url={"url": url, "detail": "auto"})


def document(data: Any) -> JSON:
    """Make a file by its data."""
    return part("file", file={"filename": "a.pdf", "file_data": data})


DATA = base64.b64encode(b"\x89PNG\x0d\x0a").decode()
TEXT_PARTS = TEXTS.map(lambda text: part("text", text=text))
REFUSALS = TEXTS.map(lambda text: part("refusal", refusal=text))
PICTURES = st.sampled_from(
    [
        *(image("https://example.com/a.png"), image("http://example.com/a b?c#d")),
        *(image(f"data:image/{kind};base64,{DATA}") for kind in ("png", "jpeg", "jpg", "gif", "webp", "PNG")),
        image(f"data:image/png;charset=x;base64,{DATA}"),
        document(f"data:application/pdf;base64,{DATA}"),
    ]
)
"""What every provider takes beside text."""

ODD: list[JSON] = [
    *(image(url) for url in ("", "a.png", "ftp://example.com/a.png", "file:///etc/passwd", "data:", "data:,x")),
    *(image(f"data:image/png;base64,{data}") for data in ("", "=", "AAA", "A===", "é", "AA==\n", "A A=")),
    *(image(f"data:{kind};base64,{DATA}") for kind in ("image/svg+xml", "image/tiff", "text/html", "")),
    *(document(data) for data in (None, "", "AAAA", f"data:text/plain;base64,{DATA}")),
    *(part("file", file=file) for file in ({}, {"file_id": "file-1"}, {"file_data": 5})),
    part("input_audio", input_audio={"data": DATA, "format": "wav"}),
]
"""What Anthropic has no place for."""


def contents(*parts: Drawn) -> Drawn:
    """Any of the three forms of a content: null, a string, or a list of these parts."""
    return st.none() | TEXTS | st.lists(st.one_of(*parts), max_size=3)


IDS = st.sampled_from(["a", "b", "call:1", "call_0", "", "x" * 200, "a_2", "é"])
ARGUMENTS = st.sampled_from(["", "{}", '{"a": 1}', "[]", "{", "null", " ", '"x"', "[" * 2000]) | st.none()


def calls(names: Drawn) -> Drawn:
    """Past calls of tools of these names."""
    function = st.fixed_dictionaries({"name": names}, optional={"arguments": ARGUMENTS})
    return st.lists(st.fixed_dictionaries({"id": IDS, "function": function}), max_size=3)


def messages(names: Drawn, user_parts: Drawn, tool_parts: Drawn) -> Drawn:
    """Messages of every role; tools have these names, and users and tools may say these parts beside text."""
    assistant = st.fixed_dictionaries(
        {"role": st.just("assistant")},
        optional={
            "content": contents(TEXT_PARTS, REFUSALS),
            "refusal": st.none() | TEXTS,
            "tool_calls": st.none() | calls(names),
            "name": st.none() | st.sampled_from(["", "agent"]),
            "reasoning_content": TEXTS,
        },
    )
    return st.one_of(
        st.fixed_dictionaries({"role": st.sampled_from(["system", "developer"]), "content": contents(TEXT_PARTS)}),
        st.fixed_dictionaries(
            {"role": st.just("user")}, optional={"content": contents(TEXT_PARTS, user_parts), "audio": st.none()}
        ),
        assistant,
        st.fixed_dictionaries(
            {"role": st.just("tool"), "tool_call_id": IDS}, optional={"content": contents(TEXT_PARTS, tool_parts)}
        ),
    )


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["object", "string", "#", "#/$defs/a", "a", ""]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "type", "$ref"]), inner, max_size=2)
    ),
    max_leaves=4,
)
KEYWORDS = ("type", "properties", "required", "anyOf", "oneOf", "allOf", "$ref", "$defs", "enum", "not", "description")
SCHEMAS = st.dictionaries(st.sampled_from(KEYWORDS), ANYTHING, max_size=4) | st.sampled_from(
    [
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False},
        {"anyOf": [{"type": "object", "properties": {"a": {}}}, {"type": "null"}]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
        {"$ref": "#"},
        {"type": ["object", "null"], "cache_control": {"type": "never"}},
    ]
)
"""Schemas that hold together, and schemas that do not."""

PLAIN_NAMES = st.sampled_from(["end_call", "transfer-to-number", "f", "x" * 64])
ODD_NAMES = PLAIN_NAMES | st.sampled_from(["", " ", "book a table", "é", "n" * 200, "a.b", "a_b", "a\n"])


def tools(names: Drawn) -> Drawn:
    """Functions of these names; a name may stand twice."""
    function = st.fixed_dictionaries(
        {"name": names},
        optional={
            "description": st.none() | TEXTS,
            "parameters": st.none() | SCHEMAS,
            "strict": st.none() | st.booleans(),
            "x": st.just(1),
        },
    )
    tool = st.fixed_dictionaries({"function": function}, optional={"type": st.sampled_from(["function", None])})
    return st.lists(tool, max_size=3)


def choices(tools: list[JSON]) -> Drawn:
    """A choice among tools; of none in particular where there are none."""
    named = [{"type": "function", "function": {"name": tool["function"]["name"]}} for tool in tools]
    return st.sampled_from([None, "none", "auto", "required", *named])


TOKENS = st.sampled_from([-1, 1, 77, 5000, 10**7, 2**63 - 1])
FORMATS = st.sampled_from([{"type": "text"}, {"type": "json_object"}]) | st.builds(
    lambda named: {"type": "json_schema", "json_schema": named},
    st.fixed_dictionaries(
        {"name": st.just("x")},
        optional={"schema": st.none() | SCHEMAS, "strict": st.none() | st.booleans(), "description": st.none() | TEXTS},
    ),
)
LOGPROBS = st.sampled_from([{}, {"logprobs": None}, {"logprobs": False}, {"logprobs": True, "top_logprobs": 20}])
PARAMS = st.builds(
    lambda params, logprobs: params | logprobs,
    optional(
        {
            "temperature": st.sampled_from([0, 0.7, 1, 2]) | st.floats(0, 2),
            "top_p": st.sampled_from([0, 1]) | st.floats(0, 1),
            **dict.fromkeys(("presence_penalty", "frequency_penalty"), st.floats(-2, 2)),
            **dict.fromkeys(("max_tokens", "max_completion_tokens"), TOKENS),
            "reasoning_effort": st.sampled_from(EFFORTS),
            "verbosity": st.sampled_from(["low", "medium", "high"]),
            "stop": TEXTS | st.lists(TEXTS, max_size=4),
            "seed": st.integers(-(2**63) + 1, 2**63 - 1),
            "logit_bias": st.dictionaries(st.just("50256"), st.integers(-100, 100)),
            "response_format": FORMATS,
            **dict.fromkeys(("parallel_tool_calls", "store", "stream"), st.booleans()),
            "service_tier": st.sampled_from(["auto", "default"]),
            "metadata": st.sampled_from([{}, {"call": "1"}, {"call": {"id": 1}}]),
            "modalities": st.just(["text"]),
            "prediction": st.just({"type": "content", "content": "x"}),
            **dict.fromkeys(("user", "user_id"), st.sampled_from(["", "a@example.com", "+4930123456"])),
            "n": st.just(1),
            "stream_options": st.sampled_from([{}, {"include_usage": True}, {"include_usage": None}]),
            "elevenlabs_extra_body": st.just({"UUID": "u"}),
            "something_new": ANYTHING,
        }
    ),
    LOGPROBS,
)
"""Every parameter of the schema that a request can set, and fields that it ignores."""


@st.composite
def bodies(
    draw: st.DrawFn, names: Drawn = ODD_NAMES, user_parts: Drawn = PICTURES, tool_parts: Drawn = PICTURES
) -> JSON:
    """The body of a request, as a caller sends it."""
    body: JSON = {"model": "any", **draw(PARAMS)}
    body["messages"] = draw(st.lists(messages(names, user_parts, tool_parts), min_size=1, max_size=8))
    declared = draw(st.none() | tools(names))
    if declared is not None or draw(st.booleans()):
        body["tools"] = declared
    body["tool_choice"] = draw(choices(declared or []))
    return body
