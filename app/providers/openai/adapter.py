"""The `openai` provider: the openai SDK builds, signs and sends each call; streams are read without its objects.

`client.post` is the SDK's lowest public call. It costs 0.5 ms of CPU a request; `chat.completions.create` costs
4.5 ms for a conversation of 11 messages, because it walks every message, and 55 us a chunk for the objects it builds.
"""

from typing import Any

import httpx2
import msgspec
import openai

from app.domain.events import Events
from app.domain.ports import Model
from app.domain.request import TurnRequest
from app.providers.openai.errors import name_error
from app.providers.openai.translate import AnswerReader, Dialect, to_body
from app.providers.streaming import stream_events
from app.providers.transport import Transport

MODELS_TIMEOUT_S = 3.0


class OpenAIProvider:
    """OpenAI, or a server that speaks its API."""

    def __init__(
        self,
        name: str,
        *,
        api_key: str | None,
        base_url: str | None,
        connect_s: float,
        idle_s: float,
        dialect: Dialect = "compatible",
    ) -> None:
        """Make the one client of this provider and process.

        `connect_s` bounds connecting, `idle_s` any silence of the server afterwards. A server without a key gets no
        Authorization header; one that is not OpenAI is not told OpenAI's organization and project either.
        """
        self.name = name
        self._dialect: Dialect = dialect
        timeout = httpx2.Timeout(connect=connect_s, read=idle_s, write=idle_s, pool=None)
        own = dialect == "openai"
        withheld = [] if own else ["OpenAI-Organization", "OpenAI-Project"]
        headers: dict[str, Any] = {"Accept-Encoding": "identity", **dict.fromkeys(withheld, openai.Omit())}
        # The SDK wants it said for every request that there is no key to send.
        self._unsigned: dict[str, Any] = {} if api_key else {"Authorization": openai.Omit()}
        self._streamed = {"X-Stainless-Raw-Response": "stream", "Accept": "text/event-stream", **self._unsigned}
        self._client = openai.OpenAI(
            api_key=api_key or "none",
            base_url=base_url or "https://api.openai.com/v1",
            default_headers=headers,
            http_client=httpx2.Client(transport=Transport(), timeout=timeout),
            timeout=timeout,
            max_retries=0,
        )
        # The SDK's first request forks `uname -p` to learn this; do it before a caller waits.
        self._client.platform_headers()

    def stream(self, request: TurnRequest, model: str) -> Events:
        """Answer a turn; see domain.ports.Provider."""
        body = msgspec.json.encode(to_body(request, model, self._dialect))
        return stream_events(lambda: self._post(body), AnswerReader(), name_error)

    def models(self) -> list[Model]:
        """Ask for the models; see domain.ports.Provider."""
        options: Any = {"timeout": MODELS_TIMEOUT_S, "headers": self._unsigned}
        try:
            response = self._client.get("/models", cast_to=httpx2.Response, options=options)
            listed: list[dict[str, Any]] = msgspec.json.decode(response.content)["data"]
            return [
                Model(str(row["id"]), int(row.get("created") or 0), str(row.get("owned_by") or self.name))
                for row in listed
            ]
        except Exception as error:
            raise name_error(error) from error

    def _post(self, body: bytes) -> httpx2.Response:
        return self._client.post(
            "/chat/completions", cast_to=httpx2.Response, content=body, options={"headers": self._streamed}
        )
