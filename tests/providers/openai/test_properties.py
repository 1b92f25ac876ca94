"""Whatever valid request a platform sends, its translation is one that the strict OpenAI takes, model by model."""

import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import JSON, ODD, PICTURES, PLAIN_NAMES, bodies
from upstreams.openai_rules import check

from app.engine.repair import repaired
from app.providers.openai import models
from app.providers.openai.models import facts_of
from app.providers.openai.translate import Dialect, to_body
from app.schemas.chat import load_request

ROWS = [row["prefix"] for row in tomllib.loads(Path(models.__file__).with_name("models.toml").read_text())["model"]]
NAMES = {"": "model-of-tomorrow", "gpt-5.": "gpt-5.6-luna"}
MODELS = [NAMES.get(prefix, prefix) for prefix in ROWS]
"""One model of each row."""

REQUESTS = bodies(names=PLAIN_NAMES, user_parts=PICTURES | st.sampled_from(ODD), tool_parts=st.nothing())


def test_every_row_has_its_model() -> None:
    """The models stand for the rows of models.toml, one each."""
    assert [facts_of(model).prefix for model in MODELS] == ROWS


@pytest.mark.parametrize(
    ("model", "dialect"), [*((model, "openai") for model in [*MODELS, "gpt-5.4-mini"]), ("llama", "compatible")]
)
@settings(max_examples=40, deadline=None)
@given(body=REQUESTS)
def test_any_request_is_taken(model: str, dialect: Dialect, body: JSON) -> None:
    """Parameters that this model refuses, an interrupted history and the platform's own fields never reach it."""
    request = load_request(body, request_id="r", conversation_id_fields=["UUID"])
    request = msgspec.structs.replace(request, messages=repaired(request.messages))
    check(msgspec.json.decode(msgspec.json.encode(to_body(request, model, dialect))))
