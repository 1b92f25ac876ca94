"""Whatever request is valid, its translation is one that the strict Anthropic takes."""

import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import JSON, ODD, PICTURES, bodies
from upstreams.anthropic_messages import check_messages
from upstreams.anthropic_rules import check_parameters

from app.domain.errors import ContentNotTaken
from app.domain.request import TurnRequest
from app.engine.repair import repaired
from app.providers.anthropic import models
from app.providers.anthropic.models import facts_of
from app.providers.anthropic.translate import to_body
from app.schemas.chat import load_request

PARTS = PICTURES | st.sampled_from(ODD)
VERSION = "2026-10-21"
ROWS = [row["prefix"] for row in tomllib.loads(Path(models.__file__).with_name("models.toml").read_text())["model"]]
NAMES = {"": "claude-next-9", "claude-fable": "claude-fable-5-2", "claude-mythos": "claude-mythos-5"}
MODELS = [NAMES.get(prefix, prefix) for prefix in ROWS]
"""One model of each row."""


def request_of(body: JSON) -> TurnRequest:
    """Read and mend a request, as a turn does."""
    request = load_request(body, request_id="r", conversation_id_fields=["UUID"])
    return msgspec.structs.replace(request, messages=repaired(request.messages))


def check(request: TurnRequest, model: str) -> None:
    """Hold the translation against the rules, as it goes over the wire."""
    body = msgspec.json.decode(msgspec.json.encode(to_body(request, model, facts_of(model))))
    check_parameters(body, VERSION)
    check_messages(body)


def test_every_row_has_its_model() -> None:
    """The models stand for the rows of models.toml, one each."""
    assert [facts_of(model).prefix for model in MODELS] == ROWS


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=40, deadline=None)
@given(body=bodies(), caching=st.booleans())
def test_any_request_is_taken(model: str, body: JSON, caching: bool) -> None:
    """Parameters, tools, histories and contents of every form: nothing of a valid request is refused."""
    check(msgspec.structs.replace(request_of(body), prompt_caching=caching), model)


@settings(max_examples=150, deadline=None)
@given(bodies(user_parts=PARTS, tool_parts=PARTS), st.sampled_from(MODELS))
def test_content_alone_is_refused_here(body: JSON, model: str) -> None:
    """What has no place in Anthropic's API is refused by the path of a part at fault, and nothing else is."""
    request = request_of(body)
    odd = [
        f"messages[{index}].content[{place}]"
        for index, message in enumerate(request.messages)
        for place, part in enumerate(message.get("content") or [])
        if part in ODD
    ]
    if not odd:
        check(request, model)
        return
    with pytest.raises(ContentNotTaken) as refused:
        check(request, model)
    assert (refused.value.param or "").rpartition("]")[0] + "]" in odd
