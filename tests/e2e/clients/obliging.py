"""A model that does what it is asked: the tool that is called for, JSON of the schema, else the words it heard.

Real clients drive themselves by what a model does. This one reads the request as an upstream gets it, in either wire
format, so that every client's run is the same every time, and the same whoever answers.
"""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from upstreams import Answer, Recorded, Step, Wait
from upstreams import anthropic as anthropic_script
from upstreams import openai as openai_script

JSON = dict[str, Any]

PACE_S = 0.01


class Ask(NamedTuple):
    """What a request asks for. `choice` is none, auto, any, or a tool's name; `answered` what the last tool said."""

    said: str
    answered: str | None
    tools: dict[str, JSON]
    choice: str
    schema: JSON | None


class Reply(NamedTuple):
    """Words, or calls by their tool's name with arguments as JSON text."""

    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()


def reply(ask: Ask) -> Reply:
    """Decide, as a model would."""
    forced = ask.choice not in ("none", "auto")
    if ask.tools and (forced or (ask.choice == "auto" and ask.answered is None)):
        named = [name for name in ask.tools if name == ask.choice or name in ask.said]
        name = (named or list(ask.tools))[0]
        return Reply(calls=((name, _json(example(ask.tools[name], ask.said))),))
    if ask.schema is not None:
        return Reply(_json(example(ask.schema, ask.said)))
    if "JSON" in ask.said:
        return Reply(_json(dict.fromkeys(re.findall(r"'(\w+)'", ask.said), "Because.")))
    return Reply(f"The tool said: {ask.answered}" if ask.answered is not None else f"You said: {ask.said}")


def example(schema: JSON, said: str) -> Any:
    """Return a value of this JSON schema: the numbers and the quoted words of what was said, in turn."""
    numbers = itertools.chain(map(int, re.findall(r"-?\d+", said)), itertools.repeat(1))
    words = itertools.chain(re.findall(r"'([^']+)'", said), itertools.repeat(said))
    return _example(schema, schema, numbers, words)


def _example(schema: JSON, root: JSON, numbers: Iterator[int], words: Iterator[str]) -> Any:
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    for choices in (schema.get("anyOf"), schema.get("oneOf"), schema.get("allOf")):
        if choices:
            return _example(choices[0], root, numbers, words)
    if "enum" in schema or "const" in schema:
        return [*schema.get("enum", []), schema.get("const")][0]
    match schema.get("type"):
        case "object":
            properties = schema.get("properties", {})
            return {name: _example(inner, root, numbers, words) for name, inner in properties.items()}
        case "array":
            return [_example(schema.get("items", {}), root, numbers, words)]
        case "integer" | "number":
            return next(numbers)
        case "boolean":
            return True
        case _:
            return next(words)


def as_openai(recorded: Recorded) -> Answer:
    """Answer a Chat Completions request."""
    body = recorded.json
    choice = body.get("tool_choice") or "auto"
    if isinstance(choice, dict):
        choice = choice["function"]["name"]
    messages = body["messages"]
    ask = Ask(
        said=" ".join(_text(message) for message in messages if message["role"] == "user"),
        answered=_text(messages[-1]) if messages[-1]["role"] == "tool" else None,
        tools={tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in body.get("tools", [])},
        choice="any" if choice == "required" else choice,
        schema=((body.get("response_format") or {}).get("json_schema") or {}).get("schema"),
    )
    text, calls = reply(ask)
    if calls:
        return openai_script.tool_answer([(_id(ask, name), name, _pieces(arguments)) for name, arguments in calls])
    return openai_script.text_answer(_one_by_one(_pieces(text)))


def as_anthropic(recorded: Recorded) -> Answer:
    """Answer a Messages request."""
    body = recorded.json
    choice = body.get("tool_choice") or {"type": "auto"}
    messages = body["messages"]
    blocks = messages[-1]["content"] if isinstance(messages[-1]["content"], list) else []
    results = [_text(block) for block in blocks if block["type"] == "tool_result"]
    ask = Ask(
        said=" ".join(_text(message) for message in messages if message["role"] == "user"),
        answered=results[-1] if results else None,
        tools={tool["name"]: tool["input_schema"] for tool in body.get("tools", [])},
        choice=choice["name"] if choice["type"] == "tool" else choice["type"],
        schema=(body.get("output_config", {}).get("format") or {}).get("schema"),
    )
    text, calls = reply(ask)
    if calls:
        return anthropic_script.tool_answer([(_id(ask, name), name, _pieces(arguments)) for name, arguments in calls])
    return anthropic_script.text_answer(_one_by_one(_pieces(text)))


def _text(message: JSON) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(part["text"] for part in content if part.get("type") == "text")
    return content or ""


def _id(ask: Ask, name: str) -> str:
    return f"call_{name}_{len(ask.said)}"


def _pieces(text: str) -> list[str]:
    return [text[place : place + 7] for place in range(0, len(text), 7)]


def _one_by_one(pieces: list[str]) -> list[Step]:
    """Each piece in a packet of its own: what comes in one packet is handed on in one piece."""
    return [step for piece in pieces for step in (Wait(PACE_S), piece)]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
