"""The `anthropic` provider: the anthropic SDK builds and signs calls and names their errors; none of its objects is
made per chunk.
"""

from collections.abc import Set
from datetime import datetime
from typing import Any
from urllib.parse import quote

import anthropic
import httpx2
import msgspec

from app.domain.errors import ProviderBroken
from app.domain.events import Events
from app.domain.ports import Model
from app.domain.request import TurnRequest
from app.providers import failures
from app.providers.anthropic.answers import AnswerReader
from app.providers.anthropic.errors import name_error
from app.providers.anthropic.lessons import LESSONS
from app.providers.anthropic.models import Models
from app.providers.anthropic.names import originals
from app.providers.anthropic.translate import thinks, to_body
from app.providers.learning import Lessons
from app.providers.signed import SignedPost, fetch
from app.providers.streaming import naming, stream_events
from app.providers.transport import Transport

ANTHROPIC_URL = "https://api.anthropic.com"
MODELS_TIMEOUT_S = 3.0


class AnthropicProvider:
    """Anthropic, or a server that speaks its Messages API."""

    def __init__(self, name: str, *, api_key: str | None, base_url: str | None) -> None:
        """Make what this provider needs once in a process."""
        self.name = name
        failures.keep_secret(api_key)
        self._lessons = Lessons(name, LESSONS)
        self._models = Models(self._ask_for)

        def client(http_client: httpx2.Client) -> anthropic.Anthropic:
            return anthropic.Anthropic(
                api_key=api_key or "none",
                base_url=base_url or ANTHROPIC_URL,
                default_headers={"Accept-Encoding": "identity"},
                http_client=http_client,
                max_retries=0,
                open_telemetry=False,
            )

        self._client = client
        self._transport = Transport()
        # As in the openai adapter: a server without a key gets no Authorization header.
        self._unsigned: dict[str, Any] = {} if api_key else {"Authorization": anthropic.omit}
        options = {"headers": {"Accept": "text/event-stream", **self._unsigned}}
        self._post = SignedPost(self._transport, client, "/v1/messages", options)

    def stream(self, request: TurnRequest, model: str) -> Events:
        """Answer a turn; see domain.ports.Provider."""
        names = originals(tool["function"]["name"] for tool in request.tools)

        def call(lessons: Set[str]) -> Events:
            body = self._lessons.mended(to_body(request, model, self._models.facts_of(model)), lessons)
            wire = msgspec.json.encode(body)
            return stream_events(
                lambda: self._post.send(wire, request.budget.connect_s), AnswerReader(names), name_error
            )

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
            listed: list[dict[str, Any]] = msgspec.json.decode(self._get("/v1/models", {"limit": 1000}))["data"]
            return [Model(str(row["id"]), _created(row), "anthropic") for row in listed]
        except (msgspec.MsgspecError, LookupError, TypeError, ValueError) as error:
            raise ProviderBroken(detail="the list of models is not one") from error

    def close(self) -> None:
        """Close the connections that are kept for the next turns."""
        self._transport.close()

    def _ask_for(self, model: str) -> bytes:
        return self._get(f"/v1/models/{quote(model, safe='')}", {})

    def _get(self, path: str, params: dict[str, Any]) -> bytes:
        options = {"timeout": MODELS_TIMEOUT_S, "params": params, "headers": self._unsigned}
        with naming(name_error):
            return fetch(self._client, path, options)


def _created(row: dict[str, Any]) -> int:
    """Return the Unix seconds of `created_at` (RFC 3339), or of an OpenAI-like server's `created`; 0 without either."""
    try:
        return int(datetime.fromisoformat(row["created_at"]).timestamp())
    except (KeyError, TypeError, ValueError):
        return int(row.get("created") or 0)
