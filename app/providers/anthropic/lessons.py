"""What a Claude model may refuse and can do without, known by the words of its 400: Anthropic names no parameter."""

import re

from app.domain.request import JSON
from app.providers.anthropic.content import CONTINUE, without_system_turns
from app.providers.learning import Lesson, Table, mentions, without

LEAST_MAX_TOKENS = 4096
"""Every model takes so many."""


def _without_effort(body: JSON) -> None:
    body.get("output_config", {}).pop("effort", None)
    if not body.get("output_config", True):
        del body["output_config"]


def _end_with_user(body: JSON) -> None:
    if body["messages"][-1]["role"] == "assistant":
        body["messages"].append({"role": "user", "content": [{"type": "text", "text": CONTINUE}]})


def _system_inline(body: JSON) -> None:
    body["messages"] = without_system_turns(body["messages"])


def _let_choose(body: JSON) -> None:
    choice = body.get("tool_choice", {})
    if choice.get("type") in ("any", "tool"):
        body["tool_choice"] = {**choice, "type": "auto"}
        body["tool_choice"].pop("name", None)


def _one_after_the_other(body: JSON) -> None:
    body.get("tool_choice", {}).pop("disable_parallel_tool_use", None)


def _fewer_tokens(body: JSON) -> None:
    body["max_tokens"] = min(body["max_tokens"], LEAST_MAX_TOKENS)


def _without_marks(body: JSON) -> None:
    body.pop("cache_control", None)
    for block in [*body.get("system", []), *body.get("tools", [])]:
        block.pop("cache_control", None)


def _without_strict(body: JSON) -> None:
    for tool in body.get("tools", []):
        tool.pop("strict", None)


LESSONS: Table = {
    "prefill": Lesson(re.compile(r"prefill|must end with a user message|final assistant"), _end_with_user),
    "system_turns": Lesson(re.compile(r"""\brole ['"`]system\b"""), _system_inline),
    "disable_parallel_tool_use": Lesson(mentions("disable_parallel_tool_use"), _one_after_the_other),
    "tool_choice": Lesson(mentions("tool_choice"), _let_choose),
    "effort": Lesson(re.compile(r"\beffort\b"), _without_effort),
    "thinking": Lesson(re.compile(r"\bthinking\b"), without("thinking")),
    "max_tokens": Lesson(mentions("max_tokens"), _fewer_tokens),
    "cache_control": Lesson(mentions("cache_control"), _without_marks),
    "strict": Lesson(re.compile(r"\btools\.\d+.*\bstrict\b"), _without_strict),
    "metadata": Lesson(mentions("metadata"), without("metadata")),
    "stop_sequences": Lesson(mentions("stop_sequences"), without("stop_sequences")),
}
"""The first whose words are found counts."""
