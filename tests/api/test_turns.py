"""GET /v1/turns: the record of turns as its keeper reads it, from a SQLite file that two workers write."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from api.client import JSON, Reply, chat, request
from api.test_openapi import hold
from gateway import KEY, Gateway
from upstreams import OpenAIUpstream

from app.domain.turn import TurnRecord

RECORDS_KEY = "keeper-key-0123456789"
SAID = "words-of-the-caller"
CONFIG = """
[defaults.budget]
retries = 0

[providers.down]
kind = "openai"
base_url = "http://127.0.0.1:9/v1"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the file is."""
    return tmp_path_factory.mktemp("turns")


@pytest.fixture(scope="module")
def recording(openai_upstream: OpenAIUpstream, folder: Path) -> Iterator[Gateway]:
    """Two workers that record turns."""
    env = {
        "OPENAI_API_KEY": openai_upstream.key,
        "OPENAI_BASE_URL": openai_upstream.base_url,
        "RECORD_TURNS": "true",
        "RECORDS_PATH": str(folder / "turns.db"),
        "RECORDS_KEY": f"{RECORDS_KEY},older-key-0123456789",
    }
    gateway = Gateway(env, config=CONFIG, folder=folder)
    gateway._command[gateway._command.index("--workers") + 1] = "2"
    with gateway:
        yield gateway


@pytest.fixture(scope="module")
def recorded(recording: Gateway) -> list[str]:
    """Request ids of turns that are on record, the oldest first: of two conversations in turn, and the last failed."""
    names = [f"req-{number}" for number in range(6)]
    for number, name in enumerate(names):
        headers = {"X-Request-Id": name, "X-Conversation-Id": f"conv-{number % 2}"}
        messages = [{"role": "user", "content": SAID}]
        chat(recording, "gpt-4.1", stream=number % 3 == 0, headers=headers, messages=messages)
    assert chat(recording, "gpt-4.1", headers={"X-Request-Id": "req-nobody", "Authorization": "Bearer x"}).status == 401
    chat(recording, "down/any", headers={"X-Request-Id": "req-failed", "X-Conversation-Id": "conv-0"})
    deadline = time.monotonic() + 10
    while len(listed(recording)["data"]) < 7:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return [*names, "req-failed"]


def get(gateway: Gateway, *, key: str | None = RECORDS_KEY, **query: Any) -> Reply:
    """Ask for turns."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return request(gateway, "GET", f"/v1/turns?{urlencode(query)}", headers=headers)


def listed(gateway: Gateway, **query: Any) -> Any:
    """Ask for turns and get them."""
    reply = get(gateway, **query)
    assert reply.status == 200, reply.body
    return reply.json


def names(page: Any) -> list[str]:
    """Return the request ids of a page."""
    return [turn["request_id"] for turn in page["data"]]


def test_a_conversation(recording: Gateway, recorded: list[str]) -> None:
    """The turns of a conversation, the newest first, whichever worker had them, in the document's shape."""
    page = listed(recording, conversation="conv-0")
    assert names(page) == [recorded[index] for index in (6, 4, 2, 0)]
    assert (page["object"], page["has_more"]) == ("list", False)
    document = request(recording, "GET", "/openapi.json", headers={}).json
    hold(document, "TurnList", page)
    assert len(document["paths"]["/v1/turns"]["get"]["security"]) == 3
    assert names(listed(recording, conversation="nobody's")) == []


def test_a_turn_is_its_line_in_the_log(recording: Gateway, recorded: list[str]) -> None:
    """What is on record of a turn is what the log told of it."""
    for name in recorded:
        (turn,) = listed(recording, request_id=name)["data"]
        (line,) = recording.turns(request_id=name)
        same = turn.keys() & line.keys()
        assert {"end", "status", "attempts", "total_ms", "usage"} <= same <= set(TurnRecord.__struct_fields__)
        assert {field: turn[field] for field in same} == {field: line[field] for field in same}


def test_pages(recording: Gateway, recorded: list[str]) -> None:
    """Page by page one finds every turn once; 20 are a page where nothing is said."""
    first = listed(recording, limit=4)
    second = listed(recording, limit=4, after=first["last_id"])
    assert (first["has_more"], second["has_more"]) == (True, False)
    assert names(first) + names(second) == recorded[::-1]
    assert (first["first_id"], first["last_id"]) == (first["data"][0]["id"], first["data"][-1]["id"])
    assert listed(recording, request_id="none") | {"has_more": False} == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


def test_filters(recording: Gateway, recorded: list[str]) -> None:
    """By how turns ended and when they began, in Unix seconds or as ISO 8601 writes it."""
    assert names(listed(recording, end="completed")) == recorded[-2::-1]
    third = listed(recording, request_id=recorded[2])["data"][0]["began_at"]
    assert names(listed(recording, since=repr(third))) == recorded[:1:-1]
    assert names(listed(recording, until=repr(third))) == recorded[1::-1]
    assert names(listed(recording, since="2020-01-01T00:00:00+02:00")) == recorded[::-1]
    assert names(listed(recording, until="2020-01-01T00:00:00Z")) == []


BAD = [
    ("limit", "0"),
    ("limit", "101"),
    ("limit", "many"),
    ("since", "yesterday"),
    ("since", "2026-11-22T16:34:01"),
    ("until", "nan"),
    ("until", "-1"),
    ("end", "badly"),
    ("after", "7"),
    ("conversation", ""),
    ("conversation_id", "conv-0"),
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=[f"{name}={value}" for name, value in BAD])
def test_bad_parameters(recording: Gateway, name: str, value: str) -> None:
    """What is not understood is refused by its name, and so is a parameter that there is not."""
    reply = get(recording, **{name: value})
    assert (reply.status, reply.json["error"]["param"]) == (400, name)
    assert reply.json["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("key", [None, "", KEY, "keeper-key", f"{RECORDS_KEY},older-key-0123456789"])
def test_it_has_a_key_of_its_own(recording: Gateway, key: str | None) -> None:
    """Nobody reads the record without RECORDS_KEY, the callers least of all."""
    reply = get(recording, key=key)
    assert (reply.status, reply.json["error"]["code"]) == (401, "invalid_api_key")
    assert RECORDS_KEY not in reply.body.decode()


def test_the_key_opens_nothing_else(recording: Gateway) -> None:
    """Who reads the record cannot call models with the same key; while keys are changed, both are good."""
    assert request(recording, "GET", "/v1/models", headers={"Authorization": f"Bearer {RECORDS_KEY}"}).status == 401
    assert get(recording, key="older-key-0123456789").status == 200
    assert request(recording, "GET", "/v1/turns", headers={"X-API-Key": RECORDS_KEY}).status == 200


def test_a_server_that_records_nothing(gateway: Gateway) -> None:
    """Where the record is off its path is not there, and says what to set, with a caller's key as without."""
    for headers in (JSON, {}):
        reply = request(gateway, "GET", "/v1/turns", headers=headers)
        assert (reply.status, reply.json["error"]["code"]) == (404, "unknown_url")
        assert "RECORDS_KEY" in reply.json["error"]["message"]


def test_nothing_that_was_said_is_in_the_file(recording: Gateway, recorded: list[str], folder: Path) -> None:
    """Neither words nor keys are on record."""
    kept = b"".join(path.read_bytes() for path in folder.glob("turns.db*"))
    assert b"req-failed" in kept
    for secret in (SAID, KEY, RECORDS_KEY, "sk-"):
        assert secret.encode() not in kept
