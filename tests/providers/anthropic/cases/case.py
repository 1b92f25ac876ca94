"""What a row of the table is, and the words that rows are written in."""

from collections.abc import Callable
from typing import Any

import msgspec
from upstreams import Answer, Recorded

JSON = dict[str, Any]

OPUS, SONNET, HAIKU = "claude-opus-5-5", "claude-sonnet-5", "claude-haiku-4-5"
ABSENT = "<absent>"
"""Stands for a field that must not be there."""

OBJECT = {"type": "object", "properties": {}}


class Failure(msgspec.Struct, frozen=True):
    """An error as the caller sees it.

    `after` is what a streaming caller has heard before it; None where it comes before the first word, with its status.
    """

    status: int
    code: str | None
    param: str | None = None
    retry_after: str | None = None
    after: JSON | None = None


class Case(msgspec.Struct, frozen=True):
    """A row: one case's promise, what the caller sends, and what must come of it on either side.

    `sends` are the request's fields, over somebody saying hello. `arrives` is what the body that Anthropic receives has
    of the fields named, and `holds` what is true of it where plain data will not do. `script` is Anthropic's answer,
    and `hears` what the caller has of it in the end. `attempts` is how often Anthropic is asked; None where a failure
    may be tried again.

    A row with a `route` asks for that, and `model` is then the route's first target.
    """

    number: int
    promise: str
    sends: JSON = {}
    model: str = HAIKU
    route: str | None = None
    arrives: JSON = {}
    holds: Callable[[JSON], bool] | None = None
    script: Answer | Callable[[Recorded], Answer] | None = None
    hears: JSON = {}
    fails: Failure | None = None
    attempts: int | None = 1

    def __str__(self) -> str:
        return f"{self.number}-{self.promise}"


def user(*content: Any) -> JSON:
    """Make a user message: one string or list, or parts."""
    return {"role": "user", "content": content[0] if len(content) == 1 else list(content)}


def system(content: Any, role: str = "system") -> JSON:
    """Make a system message."""
    return {"role": role, "content": content}


def said(content: Any, *calls: JSON) -> JSON:
    """Make an assistant message."""
    return {"role": "assistant", "content": content, **({"tool_calls": list(calls)} if calls else {})}


def call(call_id: str, name: str = "f", arguments: str | None = "{}") -> JSON:
    """Make a tool call."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(call_id: str, content: Any = "Done") -> JSON:
    """Make a tool's result."""
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def tool(name: str = "f", **fields: Any) -> JSON:
    """Make a tool, or the choice of it."""
    return {"type": "function", "function": {"name": name, **fields}}


def text(words: str) -> JSON:
    """Make a part or a block of text."""
    return {"type": "text", "text": words}


def used(call_id: str, name: str = "f", **arguments: Any) -> JSON:
    """Make a tool_use block."""
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def given_back(call_id: str, content: Any = "Done") -> JSON:
    """Make a tool_result block."""
    return {"type": "tool_result", "tool_use_id": call_id, "content": content}


def turns(*contents: list[JSON]) -> JSON:
    """Expect turns that alternate, the user's first."""
    roles = ["user", "assistant"] * len(contents)
    return {"messages": [{"role": role, "content": content} for role, content in zip(roles, contents, strict=False)]}


def declared(schema: JSON = OBJECT, name: str = "f", **fields: Any) -> JSON:
    """Expect this one tool."""
    return {"tools": [{"name": name, "input_schema": schema, **fields}]}


def called(*calls: tuple[str, str, str]) -> JSON:
    """Expect that the caller is asked to make these calls: id, name and arguments of each."""
    return {"tool_calls": [dict(zip(("id", "name", "arguments"), each, strict=True)) for each in calls]}


HELLO, HI = user("hello"), text("hello")
"""What somebody says, as the caller sends it and as Anthropic receives it."""
CALLED = [HELLO, said(None, call("a")), result("a"), HELLO]
