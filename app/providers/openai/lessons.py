"""What a model of OpenAI's, or a server that speaks its API, may refuse and can do without."""

import re

from app.domain.request import JSON
from app.providers.learning import Lesson, Table, mentions, renamed, without

_DROPPABLE = (
    *("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "stop", "logit_bias", "verbosity"),
    *("top_logprobs", "logprobs", "parallel_tool_calls", "prompt_cache_key", "prompt_cache_options", "service_tier"),
    *("prompt_cache_retention", "store", "metadata", "user", "safety_identifier", "prediction", "moderation"),
    *("stream_options", "web_search_options", "modalities"),
)


def _set_effort_none(body: JSON) -> None:
    body["reasoning_effort"] = "none"


def _let_choose(body: JSON) -> None:
    if "tool_choice" in body:
        body["tool_choice"] = "auto"


LESSONS: Table = {
    "max_tokens": Lesson(
        re.compile(r"\bmax_tokens\b.*max_completion_tokens"), renamed("max_tokens", "max_completion_tokens")
    ),
    "max_completion_tokens": Lesson(
        re.compile(r"\bmax_completion_tokens\b"), renamed("max_completion_tokens", "max_tokens")
    ),
    "effort_with_tools": Lesson(re.compile(r"reasoning_effort\W+to\W+none"), _set_effort_none, "reasoning_effort"),
    "reasoning_effort": Lesson(re.compile(r"\breasoning[_ .]effort\b"), without("reasoning_effort")),
    "tool_choice": Lesson(mentions("tool_choice"), _let_choose),
    **{name: Lesson(mentions(name), without(name)) for name in _DROPPABLE},
}
"""What a model or server may refuse and can do without; the first whose words are found counts."""
