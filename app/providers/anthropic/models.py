"""What differs between Claude models: models.toml, read once, and over it what the API itself says of a model."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from app.domain.errors import ProviderError
from app.providers.facts import lookup

MOST_ASKED = 256
"""Callers may name any model: so many are asked for in the life of a process."""


class ModelFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of models.toml; its head explains the fields."""

    prefix: str
    thinking_off: Literal["", "disabled", "effort"]
    efforts: list[str]
    prefill: bool
    forced_tool: bool
    structured: bool
    system_turns: bool
    max_tokens: int
    cache_min_tokens: int
    first_token_s: float


facts_of = lookup(Path(__file__).parent / "models.toml", ModelFacts)


class _Support(msgspec.Struct, frozen=True):
    supported: bool = False


class _ThinkingTypes(msgspec.Struct, frozen=True):
    disabled: _Support = _Support()


class _Thinking(msgspec.Struct, frozen=True):
    supported: bool = False
    types: _ThinkingTypes | None = None


class _Capabilities(msgspec.Struct, frozen=True):
    effort: dict[str, _Support | bool | None] = {}
    structured_outputs: _Support | None = None
    thinking: _Thinking | None = None


class ModelInfo(msgspec.Struct, frozen=True):
    """What is read of `GET /v1/models/{id}` (`types/model_info.py` of anthropic 2.12)."""

    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    capabilities: _Capabilities | None = None


def corrected(facts: ModelFacts, info: ModelInfo) -> ModelFacts:
    """Return the facts as the API has them; what it does not tell stays as the file has it."""
    known = info.capabilities or _Capabilities()
    levels = [level for level in ("low", "medium", "high", "xhigh", "max") if _is_taken(known.effort.get(level))]
    efforts = levels if known.effort else facts.efforts
    return msgspec.structs.replace(
        facts,
        max_tokens=info.max_tokens or facts.max_tokens,
        efforts=efforts,
        structured=facts.structured if known.structured_outputs is None else known.structured_outputs.supported,
        thinking_off=_thinking_off(facts, known.thinking, efforts),
    )


def _is_taken(level: object) -> bool:
    return isinstance(level, _Support) and level.supported


def _thinking_off(
    facts: ModelFacts, thinking: _Thinking | None, efforts: list[str]
) -> Literal["", "disabled", "effort"]:
    """Return how to silence thinking. The API does not tell whether a model thinks unasked: the file does (24)."""
    thinks_unasked = bool(facts.thinking_off) or not facts.prefix
    if thinking is None or thinking.types is None or not thinks_unasked:
        return facts.thinking_off
    if not thinking.supported:
        return ""
    if thinking.types.disabled.supported:
        return "disabled"
    return "effort" if efforts else ""


class Models:
    """The models of one provider. Each is asked for once, in the background: no turn waits for the answer."""

    def __init__(self, ask: Callable[[str], bytes]) -> None:
        """Take what asks for a model's `ModelInfo`, as JSON, and raises ProviderError where there is none."""
        self._ask = ask
        self._facts: dict[str, ModelFacts] = {}

    def facts_of(self, model: str) -> ModelFacts:
        """Return what is known of a model by now."""
        facts = self._facts.get(model)
        if facts is None:
            facts = facts_of(model)
            if len(self._facts) < MOST_ASKED:
                self._facts[model] = facts
                threading.Thread(target=self._learn, args=(model,), name=f"ask-{model}", daemon=True).start()
        return facts

    def _learn(self, model: str) -> None:
        try:
            info = msgspec.json.decode(self._ask(model), type=ModelInfo)
        except (ProviderError, msgspec.MsgspecError, UnicodeDecodeError):
            return  # a server that does not tell: the file is what there is
        self._facts[model] = corrected(self._facts[model], info)
