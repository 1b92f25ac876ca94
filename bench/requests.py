"""The requests that are sent: a voice agent's turn, with as many messages and tools as asked for."""

import json
from typing import Any

KEY = "bench-0123456789abcdef"
"""What callers send; every gateway is started with it."""

SYSTEM = (
    "You are the voice of a small clinic. Answer in one or two short sentences, as one speaks on the telephone. "
    "Never use lists or markdown. Today is Monday."
)
TALK = (
    ("user", "Hello, I would like to come in tomorrow morning, if that is possible."),
    ("assistant", "Gladly. At what time would it suit you?"),
    ("user", "Around half past nine, please."),
    ("assistant", "Half past nine is free. Under which name may I book it?"),
)


def model(family: str, chunks: int, gap_ms: int, first_ms: int) -> str:
    """Return the name of a model that the scripted upstream answers so; see upstream.c."""
    return f"{family}-bench-n{chunks}-gap{gap_ms}-first{first_ms}"


def messages(count: int) -> list[dict[str, str]]:
    """Return a conversation of so many messages that ends with the caller's words."""
    talk = [TALK[(place - count + 1 + 2) % 4] for place in range(1, count)]
    opening = [{"role": "system", "content": SYSTEM}] if count > 1 else [{"role": "user", "content": TALK[0][1]}]
    return opening + [{"role": role, "content": content} for role, content in talk]


def tool(number: int) -> dict[str, Any]:
    """Return a tool as an agent has them."""
    properties = {
        "day": {"type": "string", "description": "The day, as YYYY-MM-DD."},
        "hour": {"type": "integer", "description": "The full hour, 8 to 17."},
        "doctor": {"type": "string", "enum": ["any", "first", "second"], "description": "Who is asked for."},
    }
    return {
        "type": "function",
        "function": {
            "name": f"book_{number}",
            "description": "Books an appointment. Call it only when the caller has agreed to day and hour.",
            "parameters": {"type": "object", "properties": properties, "required": ["day", "hour"]},
        },
    }


def body(model: str, *, stream: bool = True, message_count: int = 4, tool_count: int = 0) -> bytes:
    """Return a request's body."""
    fields: dict[str, Any] = {
        "model": model,
        "messages": messages(message_count),
        "temperature": 0.7,
        "max_tokens": 2000,
        "stream": stream,
    }
    if tool_count:
        fields["tools"] = [tool(number) for number in range(tool_count)]
    return json.dumps(fields).encode()


def request(path: str, content: bytes, headers: dict[str, str]) -> bytes:
    """Return a request's bytes, head and body."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "User-Agent: bench",
        "Accept: */*",
        "Content-Type: application/json",
        f"Authorization: Bearer {KEY}",
        f"Content-Length: {len(content)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content
