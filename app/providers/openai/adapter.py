"""The `openai` provider: the openai SDK builds and signs calls and names their errors; none of its objects is made per
chunk.
"""

from collections.abc import Set
from typing import Any

import httpx2
import msgspec
import openai

from app.domain.errors import ProviderBroken
from app.domain.events import Events
from app.domain.ports import Model
from app.domain.request import TurnRequest
from app.providers import failures
from app.providers.learning import Lessons
from app.providers.openai.errors import name_error
from app.providers.openai.lessons import LESSONS
from app.providers.openai.models import facts_of
from app.providers.openai.translate import AnswerReader, Dialect, to_body
from app.providers.signed import SignedPost, fetch
from app.providers.streaming import naming, stream_events
from app.providers.transport import Transport

OPENAI_URL = "https://api.openai.com/v1"
MODELS_TIMEOUT_S = 3.0


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
        """Make what this provider needs once in a process.

        A server without a key gets no Authorization header; one that is not OpenAI is not told OpenAI's organization
        and project either.
        """
        self.name = name
        failures.keep_secret(api_key)
        self._dialect: Dialect = dialect
        self._lessons = Lessons(name, LESSONS)
        own = dialect == "openai"
        withheld = [] if own else ["OpenAI-Organization", "OpenAI-Project"]
        headers: dict[str, Any] = {"Accept-Encoding": "identity", **dict.fromkeys(withheld, openai.Omit())}
        # The SDK wants it said for every request that there is no key to send.
        self._unsigned: dict[str, Any] = {} if api_key else {"Authorization": openai.Omit()}

        def client(http_client: httpx2.Client) -> openai.OpenAI:
            return openai.OpenAI(
                api_key=api_key or "none",
                base_url=base_url or OPENAI_URL,
                default_headers=headers,
                http_client=http_client,
                max_retries=0,
            )

        self._client = client
        self._transport = Transport()
        options = {"headers": {"Accept": "text/event-stream", **self._unsigned}}
        self._post = SignedPost(self._transport, client, "/chat/completions", options)

    def stream(self, request: TurnRequest, model: str) -> Events:
        """Answer a turn; see domain.ports.Provider."""

        def call(lessons: Set[str]) -> Events:
            body = self._lessons.mended(to_body(request, model, self._dialect), lessons)
            wire = msgspec.json.encode(body)
            return stream_events(lambda: self._post.send(wire, request.budget.connect_s), AnswerReader(), name_error)

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
        options = {"timeout": MODELS_TIMEOUT_S, "headers": self._unsigned}
        with naming(name_error):
            content = fetch(self._client, "/models", options)
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
        self._transport.close()
