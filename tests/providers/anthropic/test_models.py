"""The facts of each model are those of the strict server: the row that fits its name best, and what the API says."""

import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from upstreams import Answer, AnthropicUpstream, Gate
from upstreams.anthropic import error
from upstreams.anthropic_models import LISTED, Model

from app.domain.errors import ProviderModelNotFound
from app.domain.request import TurnRequest
from app.providers.anthropic import models
from app.providers.anthropic.adapter import AnthropicProvider
from app.providers.anthropic.models import ModelFacts, ModelInfo, Models, corrected, facts_of

KNOWN = [*LISTED, "claude-mythos-5", "claude-opus-4-5", "claude-sonnet-4-5", "claude-opus-4-6"]


@pytest.mark.parametrize("name", [*KNOWN, *(f"{name}-20261101" for name in KNOWN)])
def test_no_fact_asks_for_more_than_the_model_takes(name: str) -> None:
    """What a row allows is taken by the model, dated or not; it may be more careful, never less."""
    facts, model = facts_of(name), Model.of(name)
    assert facts.prefix
    assert facts.max_tokens <= model.max_tokens
    assert not facts.prefill or model.takes_prefill
    assert not facts.forced_tool or model.takes_forced_tools
    assert not facts.system_turns or model.takes_system_turns
    assert not facts.efforts or model.takes_effort
    assert facts.thinking_off != "disabled" or model.thinking["disabled"]
    if model.thinks_by_default:
        assert facts.thinking_off, "a voice that thinks is a silent one"
    if facts.thinking_off == "effort":
        assert facts.efforts


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("claude-sonnet-5", "claude-sonnet-5"),
        ("claude-sonnet-5-20260901", "claude-sonnet-5"),
        ("claude-sonnet-5-5", "claude-sonnet-5-5"),
        ("claude-sonnet-5-5-20261015", "claude-sonnet-5-5"),
        ("claude-opus-4-5-20251101", "claude-opus-4-5"),
        ("claude-fable-5-2", "claude-fable"),
        ("claude-next-7", ""),
        ("some-server's-own", ""),
        ("", ""),
    ],
)
def test_the_longest_prefix_wins(name: str, prefix: str) -> None:
    """A dated snapshot has its family's facts, and an unknown name those of the first row."""
    assert facts_of(name).prefix == prefix


def test_an_unknown_model_is_asked_for_nothing_special() -> None:
    """What only some models take is not sent to one that nobody knows."""
    facts = facts_of("unknown")
    assert (facts.thinking_off, facts.efforts, facts.prefill, facts.forced_tool) == ("", [], False, False)


def info(**fields: Any) -> ModelInfo:
    """Make what the API says of a model."""
    return msgspec.convert(fields, ModelInfo)


def types(**taken: bool) -> dict[str, Any]:
    """Make the thinking capability."""
    return {"thinking": {"supported": True, "types": {name: {"supported": yes} for name, yes in taken.items()}}}


EFFORT = {"supported": True, **{level: {"supported": level != "max"} for level in ("low", "medium", "high", "max")}}
CORRECTIONS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("claude-next", {}, {}),
    ("claude-next", {"capabilities": None, "max_tokens": None}, {}),
    ("claude-next", {"max_tokens": 5000}, {"max_tokens": 5000}),
    ("claude-next", {"capabilities": {"structured_outputs": {"supported": False}}}, {"structured": False}),
    ("claude-next", {"capabilities": {"effort": EFFORT}}, {"efforts": ["low", "medium", "high"]}),
    ("claude-sonnet-5", {"capabilities": {"effort": {"supported": False}}}, {"efforts": []}),
    ("claude-next", {"capabilities": types(disabled=True)}, {"thinking_off": "disabled"}),
    (
        "claude-next",
        {"capabilities": {"effort": EFFORT, **types(disabled=False)}},
        {"thinking_off": "effort", "efforts": ["low", "medium", "high"]},
    ),
    ("claude-next", {"capabilities": types(disabled=False)}, {"thinking_off": ""}),
    ("claude-sonnet-5", {"capabilities": types(disabled=False)}, {"thinking_off": "effort"}),
    ("claude-opus-5-5", {"capabilities": types(disabled=True)}, {"thinking_off": "disabled"}),
    ("claude-sonnet-5", {"capabilities": {"thinking": {"supported": False, "types": {}}}}, {"thinking_off": ""}),
    # It does not think unasked, so that nothing need be said.
    ("claude-haiku-4-5", {"capabilities": types(disabled=True)}, {"thinking_off": ""}),
]


@pytest.mark.parametrize(("name", "said", "changes"), CORRECTIONS)
def test_what_the_api_says_counts_for_more_than_the_file(
    name: str, said: dict[str, Any], changes: dict[str, Any]
) -> None:
    """Max tokens, efforts, structured outputs and thinking types are the API's; what it leaves out is the file's."""
    facts = facts_of(name)
    assert corrected(facts, info(**said)) == msgspec.structs.replace(facts, **changes)


class Asked:
    """Answers for a model when the test lets it, and counts."""

    def __init__(self, answer: Callable[[str], bytes]) -> None:
        self.names: list[str] = []
        self.may_answer = threading.Event()
        self._answer = answer

    def __call__(self, model: str) -> bytes:
        """Wait, and answer."""
        self.names.append(model)
        assert self.may_answer.wait(5)
        return self._answer(model)


def join() -> None:
    """Wait for the questions that are under way."""
    for thread in threading.enumerate():
        if thread.name.startswith("ask-"):
            thread.join(5)


def test_a_model_is_asked_for_once_and_no_turn_waits() -> None:
    """The first turn has the file's facts at once, a later one the API's, and there is one question in all."""
    asked = Asked(lambda model: b'{"max_tokens": 7}')
    known = Models(asked)
    assert known.facts_of("claude-a") == facts_of("claude-a")
    assert known.facts_of("claude-a") == facts_of("claude-a")
    asked.may_answer.set()
    join()
    assert known.facts_of("claude-a").max_tokens == 7
    assert asked.names == ["claude-a"]


def _refuse(model: str) -> bytes:
    raise ProviderModelNotFound


@pytest.mark.parametrize(
    "answer",
    [_refuse, lambda _: b"<html>", lambda _: b'{"max_tokens": -1}', lambda _: b'{"max_tokens": "\xff"}'],
    ids=["an error", "no JSON", "no number of tokens", "no UTF-8"],
)
def test_a_server_that_does_not_tell_leaves_the_files_facts(answer: Callable[[str], bytes]) -> None:
    """What is no answer changes nothing, and is not asked for again."""
    asked = Asked(answer)
    asked.may_answer.set()
    known = Models(asked)
    for _ in range(2):
        assert known.facts_of("claude-b") == facts_of("claude-b")
        join()
    assert asked.names == ["claude-b"]


def test_callers_cannot_make_it_ask_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that callers make up are asked for up to a bound; the others have the file's facts."""
    monkeypatch.setattr(models, "MOST_ASKED", 3)
    asked = Asked(lambda model: b"{}")
    asked.may_answer.set()
    known = Models(asked)
    facts: list[ModelFacts] = [known.facts_of(f"claude-{number}") for number in range(10)]
    join()
    assert facts == [facts_of("claude-0")] * 10
    assert asked.names == ["claude-0", "claude-1", "claude-2"]


def test_the_api_is_asked_over_a_connection_of_its_own() -> None:
    """The question is `GET /v1/models/{id}`, signed; the turn is answered meanwhile, and the next one knows more."""
    with AnthropicUpstream() as upstream:
        may_tell = threading.Event()
        told = Answer.json({**Model.of("claude-sonnet-5").info(), "max_tokens": 99})
        upstream.answers["GET /v1/models/claude-sonnet-5"] = Answer(
            told.status, told.headers, [Gate(may_tell), *told.steps], told.framing
        )
        provider = AnthropicProvider("a", api_key=upstream.key, base_url=upstream.url)
        request = TurnRequest(model="m", messages=[{"role": "user", "content": "hello"}])
        assert list(provider.stream(request, "claude-sonnet-5"))
        may_tell.set()
        join()
        assert list(provider.stream(request, "claude-sonnet-5"))
        (question,) = upstream.lookups
        assert question.headers["authorization"] == f"Bearer {upstream.key}"
        assert question.connection not in {turn.connection for turn in upstream.requests}
        assert [turn.json["max_tokens"] for turn in upstream.requests] == [4096, 99]
        provider.close()


@pytest.mark.parametrize("fault", [error(404, "no such model", "not_found_error"), Answer.html(200), Answer.reset()])
def test_a_server_without_that_endpoint_answers_turns_all_the_same(fault: Answer) -> None:
    """Other servers that speak Anthropic's format need not have it."""
    with AnthropicUpstream() as upstream:
        upstream.answers["GET /v1/models/claude-sonnet-5"] = fault
        provider = AnthropicProvider("a", api_key=upstream.key, base_url=upstream.url)
        request = TurnRequest(model="m", messages=[{"role": "user", "content": "hello"}])
        for _ in range(2):
            assert list(provider.stream(request, "claude-sonnet-5"))
            join()
        assert len(upstream.lookups) == 1
        provider.close()
