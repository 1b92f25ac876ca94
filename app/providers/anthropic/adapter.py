"""The `anthropic` provider: Anthropic, and every server that speaks its Messages API."""

from collections.abc import Set
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec

from app.domain.errors import ProviderBroken
from app.domain.events import Events
from app.domain.ports import Model
from app.domain.request import TurnRequest
from app.providers.anthropic.answers import AnswerReader
from app.providers.anthropic.lessons import LESSONS
from app.providers.anthropic.models import Models
from app.providers.anthropic.names import originals
from app.providers.anthropic.translate import thinks, to_body
from app.providers.learning import Lessons
from app.providers.server import Server
from app.providers.streaming import stream_events

ANTHROPIC_URL = "https://api.anthropic.com"
VERSION = "2026-10-21"
"""Of the API (header `anthropic-version`), as the SDK of 2.12 has it."""


class AnthropicProvider:
    """Anthropic, or a server that speaks its Messages API."""

    def __init__(self, name: str, *, api_key: str | None, base_url: str | None) -> None:
        """Make what this provider needs once in a process."""
        self.name = name
        self._lessons = Lessons(name, LESSONS)
        self._models = Models(self._ask_for)
        self._server = Server(base_url or ANTHROPIC_URL, api_key, {"anthropic-version": VERSION})
        self._post = self._server.post("/v1/messages")

    def stream(self, request: TurnRequest, model: str) -> Events:
        """Answer a turn; see domain.ports.Provider."""
        names = originals(tool["function"]["name"] for tool in request.tools)

        def call(lessons: Set[str]) -> Events:
            body = self._lessons.mended(to_body(request, model, self._models.facts_of(model)), lessons)
            wire = msgspec.json.encode(body)
            connect_s, beat_s = request.budget.connect_s, request.budget.beat_s if request.stream else 0.0
            return stream_events(lambda: self._post.send(wire, connect_s), AnswerReader(names), beat_s)

        return self._lessons.answer(model, call)

    def first_token_s(self, request: TurnRequest, model: str) -> float | None:
        """Return how long it may think; see domain.ports.Provider."""
        facts = self._models.facts_of(model)
        return facts.first_token_s if thinks(request.params.get("reasoning_effort"), facts) else None

    def heeds_temperature(self, request: TurnRequest, model: str) -> bool:
        """No Claude model is told one; see domain.ports.Provider."""
        return False

    def models(self) -> list[Model]:
        """Ask for the models; see domain.ports.Provider."""
        try:
            listed: list[dict[str, Any]] = msgspec.json.decode(self._server.get("/v1/models", {"limit": 1000}))["data"]
            return [Model(str(row["id"]), _created(row), "anthropic") for row in listed]
        except (msgspec.MsgspecError, LookupError, TypeError, ValueError) as error:
            raise ProviderBroken(detail="the list of models is not one") from error

    def close(self) -> None:
        """Close the connections that are kept for the next turns."""
        self._server.close()

    def _ask_for(self, model: str) -> bytes:
        return self._server.get(f"/v1/models/{quote(model, safe='')}")


def _created(row: dict[str, Any]) -> int:
    """Return the Unix seconds of `created_at` (RFC 3339), or of an OpenAI-like server's `created`; 0 without either."""
    try:
        return int(datetime.fromisoformat(row["created_at"]).timestamp())
    except (KeyError, TypeError, ValueError):
        return int(row.get("created") or 0)
