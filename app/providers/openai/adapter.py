"""The `openai` provider: OpenAI, and every server that speaks its Chat Completions."""

import os
from collections.abc import Set
from typing import Any

import msgspec

from app.domain.errors import ProviderBroken
from app.domain.events import Events
from app.domain.ports import Model
from app.domain.request import TurnRequest
from app.providers.learning import Lessons
from app.providers.openai.lessons import LESSONS
from app.providers.openai.models import facts_of
from app.providers.openai.translate import AnswerReader, Dialect, to_body
from app.providers.server import Server
from app.providers.streaming import stream_events

OPENAI_URL = "https://api.openai.com/v1"

ACCOUNT = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}
"""Headers that say on whose account a call is, and the SDK's variables for them. Only OpenAI itself is told."""


class OpenAIProvider:
    """OpenAI, or a server that speaks its API."""

    def __init__(
        self,
        name: str,
        *,
        api_key: str | None,
        base_url: str | None,
        dialect: Dialect = "compatible",
    ) -> None:
        """Make what this provider needs once in a process."""
        self.name = name
        self._dialect: Dialect = dialect
        self._lessons = Lessons(name, LESSONS)
        told = ACCOUNT if dialect == "openai" else {}
        headers = {header: os.environ[variable] for header, variable in told.items() if os.environ.get(variable)}
        self._server = Server(base_url or OPENAI_URL, api_key, headers)
        self._post = self._server.post("/chat/completions")

    def stream(self, request: TurnRequest, model: str) -> Events:
        """Answer a turn; see domain.ports.Provider."""

        def call(lessons: Set[str]) -> Events:
            body = self._lessons.mended(to_body(request, model, self._dialect), lessons)
            wire = msgspec.json.encode(body)
            connect_s, beat_s = request.budget.connect_s, request.budget.beat_s if request.stream else 0.0
            return stream_events(lambda: self._post.send(wire, connect_s), AnswerReader(), beat_s)

        return self._lessons.answer(model, call)

    def first_token_s(self, request: TurnRequest, model: str) -> float | None:
        """Return how long it may reason; see domain.ports.Provider."""
        facts = facts_of(model)
        thinks = facts.thinks(request.params.get("reasoning_effort"), with_tools=bool(request.tools))
        return facts.first_token_s if thinks else None

    def heeds_temperature(self, request: TurnRequest, model: str) -> bool:
        """Return whether it is in the body; see domain.ports.Provider."""
        body = self._lessons.mended(to_body(request, model, self._dialect), self._lessons.of(model))
        return "temperature" in body

    def models(self) -> list[Model]:
        """Ask for the models; see domain.ports.Provider."""
        content = self._server.get("/models")
        try:
            listed: list[dict[str, Any]] = msgspec.json.decode(content)["data"]
            return [
                Model(str(row["id"]), int(row.get("created") or 0), str(row.get("owned_by") or self.name))
                for row in listed
            ]
        except (msgspec.MsgspecError, LookupError, TypeError, ValueError) as error:
            raise ProviderBroken(detail="the list of models is not one") from error

    def close(self) -> None:
        """Close the connections that are kept for the next turns."""
        self._server.close()
