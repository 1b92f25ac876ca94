"""Cases 9 to 19: tool results, tool definitions and the choice of a tool."""

from upstreams import Answer, Recorded
from upstreams.anthropic import tool_answer

from .case import (
    ABSENT,
    CALLED,
    HELLO,
    HI,
    JSON,
    OBJECT,
    OPUS,
    SONNET,
    Case,
    call,
    called,
    declared,
    given_back,
    result,
    said,
    text,
    tool,
    turns,
    used,
    user,
)

INTERRUPTED = "The call was interrupted before the tool answered."
NUMBER, STRING = {"type": "number"}, {"type": "string"}
TOOLS = {"tools": [tool()]}
CALL_ONE, CALL_F = [text("Call one of the tools now.")], [text("Call the tool f now.")]
PAST_ARGUMENTS: list[tuple[str | None, JSON]] = [
    ("", {}),
    (None, {}),
    ('{"x": "y"}', {"x": "y"}),
    ('{"x":', {"arguments": '{"x":'}),
    ("[1]", {"arguments": [1]}),
    ("null", {"arguments": None}),
]


def results_follow_their_calls(body: JSON) -> bool:
    """Whether each result has its call's id, whatever became of the ids."""
    _, asked, answered = (message["content"] for message in body["messages"])
    return [block["id"] for block in asked] == [block["tool_use_id"] for block in answered]


def history_names_the_tool(body: JSON) -> bool:
    """Whether the past call has the name of the tool that is declared."""
    return bool(body["messages"][1]["content"][0]["name"] == body["tools"][0]["name"])


def choice_names_the_tool(body: JSON) -> bool:
    """Whether the tool that is declared is forced."""
    return bool(body["tool_choice"] == {"type": "tool", "name": body["tools"][0]["name"]})


def every_tool_is_called(recorded: Recorded) -> Answer:
    """Call each tool by the name that Anthropic was given."""
    names = [each["name"] for each in recorded.json["tools"]]
    return tool_answer([(f"toolu_{number}", name, ["{}"]) for number, name in enumerate(names)])


RESULTS = [
    Case(
        9,
        "several results are one user turn, ahead of the words",
        {"messages": [HELLO, said(None, call("a"), call("b")), result("b", "B"), result("a", "A"), user("So?")]},
        arrives=turns([HI], [used("a"), used("b")], [given_back("b", "B"), given_back("a", "A"), text("So?")]),
    ),
    Case(
        10,
        "a call without a result gets one",
        {"messages": [HELLO, said("Wait.", call("a")), user("Stop!")]},
        arrives=turns([HI], [text("Wait."), used("a")], [given_back("a", INTERRUPTED), text("Stop!")]),
    ),
    Case(
        10,
        "one of two calls without a result gets one",
        {"messages": [HELLO, said(None, call("a"), call("b")), result("b")]},
        arrives=turns([HI], [used("a"), used("b")], [given_back("b"), given_back("a", INTERRUPTED)]),
    ),
    Case(
        10,
        "a call at the end of the history gets a result",
        {"messages": [HELLO, said(None, call("a"))]},
        arrives=turns([HI], [used("a")], [given_back("a", INTERRUPTED)]),
    ),
    Case(
        11,
        "a result without a call becomes a user's text",
        {"messages": [HELLO, result("x", "Lost")]},
        arrives=turns([HI, text("[Result of a tool]\nLost")]),
    ),
    Case(
        11,
        "an empty result without a call is no empty turn",
        {"messages": [HELLO, said("Hi"), result("x", "")]},
        arrives=turns([HI], [text("Hi")], [text("[Result of a tool]\n(nothing)")]),
    ),
    Case(
        11,
        "of two results for one call the last counts",
        {"messages": [HELLO, said(None, call("a")), result("a", "1"), result("a", "2")]},
        arrives=turns([HI], [used("a")], [given_back("a", "2")]),
    ),
    *[
        Case(
            12,
            f"a result of {content!r} is sent with no text made up",
            {"messages": [HELLO, said(None, call("a")), result("a", content)]},
            arrives=turns([HI], [used("a")], [given_back("a", sent)]),
        )
        for content, sent in (("", ""), (" ", " "), ([], ""), (None, ""))
    ],
    Case(
        13,
        "ids that Anthropic refuses are made to fit, and stay apart, on calls and results alike",
        {"messages": [HELLO, said(None, call("call:1"), call("call.1")), result("call:1"), result("call.1")]},
        holds=results_follow_their_calls,
    ),
    Case(
        13,
        "an id that a later turn uses again is made to differ",
        {"messages": [*CALLED, said(None, call("a")), result("a", "2")]},
        arrives=turns([HI], [used("a")], [given_back("a"), HI], [used("a_2")], [given_back("a_2", "2")]),
    ),
    Case(
        13,
        "the caller gets the id that Anthropic gave",
        script=tool_answer([("toolu_01A-b_c", "f", ["{}"])]),
        hears=called(("toolu_01A-b_c", "f", "{}")),
    ),
    *[
        Case(
            14,
            f"past arguments of {arguments!r} are an object",
            {"messages": [HELLO, said(None, call("a", arguments=arguments)), result("a")]},
            arrives=turns([HI], [used("a", **kept)], [given_back("a")]),
        )
        for arguments, kept in PAST_ARGUMENTS
    ],
]

DEFINITIONS = [
    Case(15, "no parameters are an empty object", TOOLS, arrives=declared()),
    *[
        Case(15, f"{what} is an object", {"tools": [tool(parameters=parameters)]}, arrives=declared(schema))
        for what, parameters, schema in (
            ("an empty schema", {}, OBJECT),
            ("a root without type", {"properties": {"a": STRING}}, {**OBJECT, "properties": {"a": STRING}}),
            *[
                (
                    f"a root {key}",
                    {key: [{"properties": {"a": STRING}}, {"properties": {"b": NUMBER}}]},
                    {**OBJECT, "properties": {"a": STRING, "b": NUMBER}},
                )
                for key in ("anyOf", "oneOf", "allOf")
            ],
            (
                "a root $ref",
                {"$ref": "#/$defs/X", "$defs": {"X": {"properties": {"a": STRING}}}},
                {**OBJECT, "properties": {"a": STRING}, "$defs": {"X": {"properties": {"a": STRING}}}},
            ),
        )
    ],
    Case(16, "a description of null is left out", {"tools": [tool(description=None)]}, arrives=declared()),
    Case(
        16,
        "a name that Anthropic takes is left as it is",
        {"tools": [tool("end_call", description="Hang up.")]},
        arrives=declared(name="end_call", description="Hang up."),
    ),
    Case(
        16,
        "names that would become one are kept apart, and given back in the caller's spelling",
        {"tools": [tool("a b"), tool("a_b"), tool("a.b"), tool("é" * 200)]},
        script=every_tool_is_called,
        hears=called(*[(f"toolu_{at}", name, "{}") for at, name in enumerate(("a b", "a_b", "a.b", "é" * 200))]),
    ),
    Case(
        16,
        "a past call has its tool's name as it was made to fit",
        {"tools": [tool("a b")], "messages": [HELLO, said(None, call("a", "a b")), result("a")]},
        holds=history_names_the_tool,
    ),
    Case(
        17,
        "tools of the history are declared, and not to be called",
        {"messages": CALLED},
        arrives={**declared(), "tool_choice": {"type": "none"}},
    ),
    Case(
        17,
        "even where a call is wanted",
        {"messages": CALLED, "tool_choice": "required", "parallel_tool_calls": False},
        arrives={**declared(), "tool_choice": {"type": "none"}},
    ),
]

CHOICES = [
    Case(18, "no choice is none", TOOLS, arrives={"tool_choice": ABSENT}),
    *[
        Case(18, f"{ours} is {theirs}", {**TOOLS, "tool_choice": ours}, arrives={"tool_choice": {"type": theirs}})
        for ours, theirs in (("none", "none"), ("auto", "auto"), ("required", "any"))
    ],
    Case(
        18,
        "a function by its name is a tool, as its name was made to fit",
        {"tools": [tool("a b")], "tool_choice": tool("a b")},
        holds=choice_names_the_tool,
    ),
    *[
        Case(
            18,
            f"one call at a time with {choice}",
            {**TOOLS, "parallel_tool_calls": False, **({"tool_choice": choice} if choice else {})},
            arrives={"tool_choice": {"type": theirs, "disable_parallel_tool_use": True}},
        )
        for choice, theirs in ((None, "auto"), ("auto", "auto"), ("required", "any"))
    ],
    Case(
        18,
        "one call at a time is nothing to say where none is made",
        {**TOOLS, "parallel_tool_calls": False, "tool_choice": "none"},
        arrives={"tool_choice": {"type": "none"}},
    ),
    Case(
        18,
        "several calls at a time need no word",
        {**TOOLS, "parallel_tool_calls": True},
        arrives={"tool_choice": ABSENT},
    ),
    *[
        Case(
            19,
            f"{model} is asked in words",
            {**TOOLS, "tool_choice": choice},
            model,
            arrives={"tool_choice": {"type": "auto"}, "system": words},
        )
        for model, choice, words in (
            (OPUS, "required", CALL_ONE),
            ("claude-sonnet-5-5", "required", CALL_ONE),
            ("claude-haiku-5-5", tool(), CALL_F),
            ("claude-fable-5-2", tool(), CALL_F),
        )
    ],
    Case(
        19,
        "a model that may be forced is forced while it does not think",
        {**TOOLS, "tool_choice": "required"},
        SONNET,
        arrives={"tool_choice": {"type": "any"}, "system": ABSENT, "thinking": {"type": "disabled"}},
    ),
    Case(
        19,
        "and asked in words while it does",
        {**TOOLS, "tool_choice": "required", "reasoning_effort": "high"},
        SONNET,
        arrives={"tool_choice": {"type": "auto"}, "system": CALL_ONE, "output_config": {"effort": "high"}},
    ),
]

CASES = [*RESULTS, *DEFINITIONS, *CHOICES]
