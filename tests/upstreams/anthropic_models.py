"""What the scripted Anthropic knows of each model, by its name.

Source: facts/anthropic.md of November 2026; the numbers are its cases.
"""

import re
from typing import Any, NamedTuple

LISTED = {
    "claude-opus-5-5": "Claude Opus 5.5",
    "claude-sonnet-5-5": "Claude Sonnet 5.5",
    "claude-haiku-5-5": "Claude Haiku 5.5",
    "claude-fable-5-2": "Claude Fable 5.2",
    "claude-opus-5": "Claude Opus 5",
    "claude-sonnet-5": "Claude Sonnet 5",
    "claude-opus-4-7": "Claude Opus 4.7",
    "claude-sonnet-4-6": "Claude Sonnet 4.6",
    "claude-haiku-4-5": "Claude Haiku 4.5",
}
"""The models that it offers, newest first, with their display names."""


class Model(NamedTuple):
    """A model by line and version: `claude-sonnet-4-6` is the line sonnet and the version (4, 6)."""

    id: str
    line: str
    version: tuple[int, int]

    @classmethod
    def of(cls, name: str) -> "Model":
        """Read the name; a name of another form counts as an old model, which has no newer rules."""
        found = re.match(r"claude-([a-z]+)-(\d+)(?:-(\d{1,2}))?(?:-\d{8})?$", name)
        return cls(name, found[1], (int(found[2]), int(found[3] or 0))) if found else cls(name, "", (3, 0))

    @property
    def max_tokens(self) -> int:
        """The most that `max_tokens` may be."""
        if self.version >= (4, 6):
            return 128_000
        if self.line == "opus" and self.version < (4, 5):
            return 32_000
        return 64_000 if self.version >= (4, 0) else 8_192

    @property
    def takes_prefill(self) -> bool:
        """Case 5: a final assistant message, before the 4.6 family alone."""
        return self.version < (4, 6)

    @property
    def takes_system_turns(self) -> bool:
        """Case 6: Opus from 4.8 on, and Fable."""
        return self.line == "fable" or (self.line == "opus" and self.version >= (4, 8))

    @property
    def takes_forced_tools(self) -> bool:
        """Case 19: `any` and `tool`, except on the 5.5 line."""
        return self.version != (5, 5)

    @property
    def takes_sampling(self) -> bool:
        """Case 21: values other than the defaults, with an older version header."""
        first_without = {"opus": (4, 7), "sonnet": (5, 0), "haiku": (5, 5)}
        return self.version < first_without.get(self.line, (5, 0))

    @property
    def takes_effort(self) -> bool:
        """`output_config.effort`: Opus 4.5 and the 4.6 family on."""
        return self.version >= (4, 6) or (self.line, self.version) == ("opus", (4, 5))

    @property
    def thinks_by_default(self) -> bool:
        """Case 24: Sonnet 5, Opus 5, the 5.5 line, and the models on which thinking cannot be turned off."""
        return self.version in {(5, 0), (5, 5)} or not self.thinking["disabled"]

    @property
    def thinking(self) -> dict[str, bool]:
        """Case 24: which `thinking.type` it takes."""
        enabled_is_gone = {"opus": (4, 7), "sonnet": (5, 0), "haiku": (5, 5)}
        always_thinks = self.line in {"fable", "mythos"} or (self.line, self.version) == ("opus", (5, 5))
        return {
            "adaptive": self.version >= (4, 6),
            "between_tools": (self.line, self.version) == ("sonnet", (5, 5)),
            "disabled": not always_thinks,
            "enabled": self.version < enabled_is_gone.get(self.line, (99, 0)),
        }

    def info(self) -> dict[str, Any]:
        """What `GET /v1/models/{id}` says (`types/model_info.py` of anthropic 2.12)."""
        return {
            "type": "model",
            "id": self.id,
            "display_name": LISTED.get(self.id, self.id),
            "created_at": "2026-09-01T00:00:00Z",
            "deprecated_at": None,
            "lifecycle": "active",
            "line": self.line or None,
            "max_input_tokens": 1_000_000,
            "max_tokens": self.max_tokens,
            "retires_at": None,
            "capabilities": {
                **{name: _yes(True) for name in ("batch", "citations", "code_execution", "image_input", "pdf_input")},
                "context_management": {"supported": True},
                "effort": {
                    **{level: _yes(self.takes_effort) for level in ("low", "medium", "high", "xhigh", "max")},
                    "supported": self.takes_effort,
                },
                "server_tools": {"supported": True, "code_execution": _yes(True), "web_search": _yes(True)},
                "structured_outputs": _yes(self.version >= (4, 5)),
                "thinking": {
                    "supported": True,
                    "types": {kind: _yes(taken) for kind, taken in self.thinking.items()},
                },
            },
        }


def _yes(supported: bool) -> dict[str, bool]:
    return {"supported": supported}
