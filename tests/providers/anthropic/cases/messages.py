"""Cases 1 to 8: messages."""

from upstreams.anthropic import tool_answer

from .case import (
    ABSENT,
    HELLO,
    HI,
    OPUS,
    SONNET,
    Case,
    call,
    called,
    given_back,
    result,
    said,
    system,
    text,
    turns,
    used,
    user,
)

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
PICTURE = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}

CASES = [
    Case(
        1,
        "two user messages are one turn",
        {"messages": [HELLO, user("there")]},
        arrives=turns([HI, text("there")]),
    ),
    Case(
        1,
        "two assistant messages are one turn",
        {"messages": [HELLO, said("A"), said("B"), HELLO]},
        arrives=turns([HI], [text("A"), text("B")], [HI]),
    ),
    *[
        Case(
            2,
            f"a user who says {content!r} is a placeholder",
            {"messages": [user(content)]},
            arrives=turns([text("...")]),
        )
        for content in ("", [], "\n", None, [text("")], [text(" "), text("\n")])
    ],
    Case(
        2,
        "a user who says nothing in mid-conversation keeps the turn",
        {"messages": [HELLO, said("A"), user(" "), said("B"), HELLO]},
        arrives=turns([HI], [text("A")], [text("...")], [text("B")], [HI]),
    ),
    Case(
        2,
        "an empty part beside words is dropped",
        {"messages": [user(text(""), text("hello"))]},
        arrives=turns([HI]),
    ),
    Case(
        2,
        "a blank part beside an image is dropped",
        {"messages": [user(text(" "), IMAGE)]},
        arrives=turns([PICTURE]),
    ),
    Case(
        2,
        "white space around words stays",
        {"messages": [user("  hello\n")]},
        arrives=turns([text("  hello\n")]),
    ),
    *[
        Case(
            3,
            f"an assistant who says {content!r} leaves one user turn",
            {"messages": [HELLO, said(content), user("You there?")]},
            arrives=turns([HI, text("You there?")]),
        )
        for content in ("", [], None, [text("")])
    ],
    *[
        Case(
            3,
            f"{content!r} beside a call is dropped",
            {"messages": [HELLO, said(content, call("a")), result("a")]},
            arrives=turns([HI], [used("a")], [given_back("a")]),
        )
        for content in ("", [text("")], [text(" ")])
    ],
    *[
        Case(
            4,
            f"a system prompt of {content!r} is left out",
            {"messages": [system(content), HELLO]},
            arrives={"system": ABSENT, **turns([HI])},
        )
        for content in ("", "  ", [text("")], None)
    ],
    Case(
        4,
        "a system prompt in parts is flattened",
        {"messages": [system([text("Be"), text("brief.")]), HELLO]},
        arrives={"system": [text("Be\nbrief.")]},
    ),
    Case(
        4,
        "system and developer prompts at the start are both system",
        {"messages": [system("Be brief."), system("Be kind.", "developer"), HELLO]},
        arrives={"system": [text("Be brief."), text("Be kind.")], **turns([HI])},
    ),
    Case(
        5,
        "a prefill has no white space at its end",
        {"messages": [HELLO, said("Well, \n")]},
        arrives=turns([HI], [text("Well,")]),
    ),
    *[
        Case(
            5,
            f"{model} gets a short user turn after a final assistant message",
            {"messages": [HELLO, said("Well,")]},
            model,
            arrives=turns([HI], [text("Well,")], [text("(continue)")]),
        )
        for model in ("claude-sonnet-4-6", SONNET, OPUS)
    ],
    Case(
        6,
        "an older model is told in a user turn, and the system prompt stays as it was",
        {"messages": [system("A"), HELLO, said("Hi"), system("B"), HELLO]},
        arrives={"system": [text("A")], **turns([HI], [text("Hi")], [text("<system>\nB\n</system>"), HI])},
    ),
    Case(
        6,
        "a developer's message at the end stays at the end",
        {"messages": [HELLO, said("Hi"), system([text("B")], "developer")]},
        arrives={"system": ABSENT, **turns([HI], [text("Hi")], [text("<developer>\nB\n</developer>")])},
    ),
    Case(
        6,
        "a newer model is told in place",
        {"messages": [system("A"), HELLO, said("Hi"), HELLO, system("B")]},
        OPUS,
        arrives={
            "system": [text("A")],
            "messages": [*turns([HI], [text("Hi")], [HI])["messages"], system([text("B")])],
        },
    ),
    Case(
        7,
        "a system prompt alone gets a user turn",
        {"messages": [system("Be brief.")]},
        arrives={"system": [text("Be brief.")], **turns([text("...")])},
    ),
    Case(
        7,
        "a conversation that the assistant begins is sent as it is",
        {"messages": [said("The clinic, good morning."), HELLO]},
        arrives={"messages": [said([text("The clinic, good morning.")]), user([HI])]},
    ),
    Case(
        8,
        "an assistant's words come before its calls",
        {"messages": [HELLO, said("One moment.", call("a")), result("a")]},
        arrives=turns([HI], [text("One moment."), used("a")], [given_back("a")]),
    ),
    Case(
        8,
        "an answer has both its words and its calls",
        script=tool_answer([("toolu_1", "f", ["{}"])], text=["One ", "moment."]),
        hears={"content": "One moment.", **called(("toolu_1", "f", "{}")), "finish_reason": "tool_calls"},
    ),
]
