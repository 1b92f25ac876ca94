"""The `local` provider: the embedded model, asked as any other OpenAI-compatible server is."""

import contextlib
import time

import msgspec

from app.domain.errors import ProviderBroken, ProviderOverloaded, ProviderUnreachable
from app.domain.events import Event, Events
from app.domain.ports import Model
from app.domain.request import TurnRequest
from app.providers.local.process import MODEL_ID, LocalModel
from app.providers.openai.adapter import OpenAIProvider

MAX_TOKENS = 256
"""Where the request sets no bound: so small a model does not always find an end by itself."""

PAUSE_S = 0.05

FIRST_TOKEN_S = 45.0
"""It reads 60 to 120 tokens of a prompt a second, and may have to start."""

START_S = 20.0
"""The model is up within a second; a machine under load may take longer."""


class LocalProvider:
    """The embedded model under whatever name it is asked for: it is the only one."""

    def __init__(self, process: LocalModel) -> None:
        self.name = "local"
        self._process = process
        self._server = OpenAIProvider("local", api_key=process.api_key, base_url=process.url)

    def stream(self, request: TurnRequest, model: str) -> Events:
        """Answer a turn; see domain.ports.Provider. Waits for the model while it starts."""
        params = {"max_tokens": MAX_TOKENS, **request.params}
        first, events = self._begun(msgspec.structs.replace(request, params=params))
        with contextlib.closing(events):
            if first is not None:
                yield first
            yield from events

    def first_token_s(self, request: TurnRequest, model: str) -> float:
        """Return how long it may need; see domain.ports.Provider."""
        return FIRST_TOKEN_S

    def heeds_temperature(self, request: TurnRequest, model: str) -> bool:
        """See domain.ports.Provider."""
        return self._server.heeds_temperature(request, MODEL_ID)

    def models(self) -> list[Model]:
        """Name the one model; raises ProviderUnreachable while it is not up."""
        if not self._process.ready():
            raise ProviderUnreachable("The embedded model is not up.")
        return [Model(MODEL_ID, owned_by="local")]

    def _begun(self, request: TurnRequest) -> tuple[Event | None, Events]:
        """Return the first event and the rest, asking again while the model starts, or when it has just died."""
        deadline = time.monotonic() + START_S
        while True:
            events = self._server.stream(request, MODEL_ID)
            try:
                return next(events, None), events
            except (ProviderUnreachable, ProviderOverloaded, ProviderBroken):  # not there yet, loading, or just dying
                self._process.ensure()
                time.sleep(PAUSE_S)
                if not self._process.wait_ready(deadline - time.monotonic()):
                    raise
