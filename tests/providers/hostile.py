"""An upstream and its provider of each format: one answer is scripted, one turn is taken."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Self

import pytest
from providers.joined import joined
from upstreams import Answer, AnthropicUpstream, OpenAIUpstream, Send, Split, Step, Upstream

from app.domain.errors import ProviderError
from app.domain.events import Event, Start
from app.domain.ports import Provider
from app.domain.request import TurnRequest
from app.providers.anthropic.adapter import AnthropicProvider
from app.providers.openai.adapter import OpenAIProvider

FORMATS = ("openai", "anthropic")
STREAM = {"content-type": "text/event-stream"}


class Formats:
    """Both formats, for as many turns as a test wants."""

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        openai = self._stack.enter_context(OpenAIUpstream(strict=False))
        anthropic = self._stack.enter_context(AnthropicUpstream(strict=False))
        self.upstreams: dict[str, Upstream] = {"openai": openai, "anthropic": anthropic}
        makers: dict[str, Any] = {"openai": OpenAIProvider, "anthropic": AnthropicProvider}
        self._providers: dict[str, Provider] = {}
        for name, upstream in (("openai", openai), ("anthropic", anthropic)):
            made = makers[name](name, api_key=upstream.key, base_url=upstream.base_url)
            self._stack.callback(made.close)
            self._providers[name] = made
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def ask(self, format: str, answer: Answer) -> list[Event]:  # noqa: A002
        """Take a turn that is answered so; its events, without its Start, neighbouring words as one."""
        self.upstreams[format].answers["m"] = answer
        request = TurnRequest(model="m", messages=[{"role": "user", "content": "hello"}])
        events = self._providers[format].stream(request, "m")
        return joined(event for event in events if not isinstance(event, Start))

    def fails(self, format: str, answer: Answer) -> ProviderError:  # noqa: A002
        """Take a turn that fails; what it fails with."""
        with pytest.raises(ProviderError) as failed:
            self.ask(format, answer)
        return failed.value


def streamed(stream: bytes, size: int | None = None, headers: dict[str, str] | None = None) -> Answer:
    """Make a streamed answer of these bytes: in one packet, or in packets of `size` bytes."""
    steps: Sequence[Step] = [Send(stream) if size is None else Split(stream, size)]
    return Answer(headers=STREAM if headers is None else headers, steps=list(steps))
