"""What a provider promises when the machine behind it fails in any way: the rest of the suite in `contract`."""

import email.utils
import time
from typing import Protocol

import pytest
from providers.contract import SOON_S, TOOLS, ProviderContract, Stage, ask, failure, request
from upstreams import Answer, Cut, Reset, Send, Split, Step, Upstream

from app.domain import errors
from app.domain.events import Text


class UpstreamStage(Stage, Protocol):
    """A provider's set-up in front of a scripted upstream."""

    upstream: Upstream
    error_event: bytes
    """An event of the stream that says that the provider is overloaded."""

    def answer(self, *pieces: str | Step) -> Answer:
        """Make an answer of words, with steps among them."""

    def whole_stream(self, text: str) -> bytes:
        """Make the bytes of an answer that says this."""

    def refusal(self, status: int, message: str, headers: dict[str, str]) -> Answer:
        """Make an error in the vendor's shape."""


STATUSES: list[tuple[int, type[errors.ProviderError]]] = [
    (400, errors.ProviderRequestRefused),
    (401, errors.ProviderKeyRefused),
    (402, errors.ProviderKeyRefused),
    (403, errors.ProviderKeyRefused),
    (404, errors.ProviderModelNotFound),
    (408, errors.ProviderTimeout),
    (409, errors.ProviderError),
    (413, errors.ProviderRequestTooLarge),
    (418, errors.ProviderError),
    (422, errors.ProviderRequestRefused),
    (429, errors.ProviderRateLimited),
    (500, errors.ProviderError),
    (502, errors.ProviderError),
    (503, errors.ProviderOverloaded),
    (504, errors.ProviderTimeout),
    (529, errors.ProviderOverloaded),
]
LATER = email.utils.formatdate(time.time() + 36_000, usegmt=True)
WAITS: list[tuple[dict[str, str], float]] = [
    ({"retry-after": "7"}, 7.0),
    ({"retry-after": "0.5"}, 0.5),
    ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
    ({"retry-after": LATER}, 36_000.0),
]


class UpstreamContract(ProviderContract):
    """What a provider promises when the machine behind it fails in any way."""

    @pytest.mark.parametrize(("status", "expected"), STATUSES)
    def test_statuses(self, stage: UpstreamStage, status: int, expected: type[errors.ProviderError]) -> None:
        """Each HTTP status has its error, without a part of the key or an address in it, and keeps the connection."""
        said = "Not so: sk-upstr********ream, Bearer abcdef.ghi at https://api.vendor.example/v1?key=1 or HTTP://x/y"
        stage.upstream.answers[stage.model] = stage.refusal(status, said, {})
        provider = stage.provider()
        for error in (failure(stage, provider), failure(stage, provider)):
            assert type(error) is expected
            assert error.upstream_status == status
            for told in (error.message, error.detail or ""):
                assert not [word for word in ("sk-", "abcdef", "://", "vendor.example", "**ream") if word in told]
            # What the caller must mend is told in the vendor's words; the rest is none of their business.
            # The log is told none of them, because they may quote a caller.
            assert ("Not so" in error.message) is (status in (400, 413, 422))
            assert error.detail
            assert "Not so" not in error.detail
        assert len({recorded.connection for recorded in stage.upstream.requests}) == 1

    @pytest.mark.parametrize(("headers", "seconds"), WAITS)
    @pytest.mark.parametrize("status", [429, 503])
    def test_how_long_to_wait(self, stage: UpstreamStage, status: int, headers: dict[str, str], seconds: float) -> None:
        """Retry-After is kept, in seconds, milliseconds or as a date; nobody sleeps for it here."""
        stage.upstream.answers[stage.model] = stage.refusal(status, "Slow down", headers)
        started = time.monotonic()
        assert failure(stage).retry_after_s == pytest.approx(seconds, abs=0 if seconds < 10 else 900)
        assert time.monotonic() - started < SOON_S

    @pytest.mark.parametrize("status", [400, 404, 413, 502])
    def test_a_page_of_html_is_told_to_nobody(self, stage: UpstreamStage, status: int) -> None:
        """A proxy's error page has the error of its status, and the caller hears no HTML."""
        stage.upstream.answers[stage.model] = Answer.html(status, "<html><body>nginx</body></html>")
        error = failure(stage)
        assert type(error) is dict(STATUSES)[status]
        assert "<" not in error.message

    def test_an_error_without_a_body(self, stage: UpstreamStage) -> None:
        """A bare status is enough."""
        stage.upstream.answers[stage.model] = Answer.empty(503)
        assert type(failure(stage)) is errors.ProviderOverloaded

    def test_nobody_listens(self, stage: UpstreamStage) -> None:
        """A refused connection is ProviderUnreachable."""
        provider = stage.provider()
        stage.upstream.close()
        assert type(failure(stage, provider)) is errors.ProviderUnreachable
        with pytest.raises(errors.ProviderUnreachable):
            provider.models()

    @pytest.mark.parametrize("answer", [Answer.reset(), Answer.cut()])
    def test_it_breaks_before_the_head(self, stage: UpstreamStage, answer: Answer) -> None:
        """A connection that ends in place of an answer is ProviderBroken."""
        stage.upstream.answers[stage.model] = answer
        assert type(failure(stage)) is errors.ProviderBroken

    @pytest.mark.parametrize(
        "end", [Cut(), Reset(), Send(b"data: {nope\n\n"), Send(b"data: [1]\n\n"), Send(b"data: \xff\n\n")]
    )
    def test_it_breaks_in_mid_answer(self, stage: UpstreamStage, end: Step) -> None:
        """What was said is handed on; then a cut, a reset or a malformed event is ProviderBroken, never an end."""
        stage.upstream.answers[stage.model] = stage.answer("Well", end)
        events = stage.provider().stream(request(), stage.model)
        assert next(event for event in events if isinstance(event, Text)) == Text("Well")
        with pytest.raises(errors.ProviderBroken):
            list(events)

    def test_a_stream_that_ends_early_is_no_answer(self, stage: UpstreamStage) -> None:
        """A body that ends in good order for HTTP, but without the vendor's last event, is ProviderBroken."""
        first, second, *_ = stage.whole_stream("Well").split(b"\n\n")
        half = first + b"\n\n" + second + b"\n\n"
        for body in (b"", half):
            stage.upstream.answers[stage.model] = _streamed(Send(body))
            assert type(failure(stage)) is errors.ProviderBroken

    def test_an_error_in_mid_answer(self, stage: UpstreamStage) -> None:
        """An error event is the error that it names, after what was said before it."""
        stage.upstream.answers[stage.model] = stage.answer("Well", Send(stage.error_event))
        assert type(failure(stage)) is errors.ProviderOverloaded

    @pytest.mark.parametrize("size", [1, 2, 7])
    def test_packets_split_anywhere(self, stage: UpstreamStage, size: int) -> None:
        """However the bytes are cut, also within a character, the words are the same."""
        stage.upstream.answers[stage.model] = _streamed(Split(stage.whole_stream("Grüße, 日本 👋"), size))
        assert [event for event in ask(stage) if isinstance(event, Text)] == [Text("Grüße, 日本 👋")]

    @pytest.mark.parametrize(
        "answer",
        [
            Answer.json({"choices": [], "type": "message"}),
            Answer.html(200),
            Answer(200, {"content-type": "text/event-stream", "content-encoding": "gzip"}, [Send(b"\x1f\x8b")]),
        ],
    )
    def test_what_is_no_stream(self, stage: UpstreamStage, answer: Answer) -> None:
        """A whole JSON answer, a page, and a compressed stream are not taken for a stream."""
        stage.upstream.answers[stage.model] = answer
        assert type(failure(stage)) is errors.ProviderBroken

    def test_a_connection_is_used_again(self, stage: UpstreamStage) -> None:
        """After an answer that was read to its end the next turn needs no new connection."""
        provider = stage.provider()
        stage.says("One")
        ask(stage, provider)
        stage.calls(("call_1", "end_call", ["{}"]))
        ask(stage, provider, tools=TOOLS)
        assert len({recorded.connection for recorded in stage.upstream.requests}) == 1
        assert all(recorded.answered.wait(SOON_S) for recorded in stage.upstream.requests)

    def test_a_connection_that_was_left_is_not_used_again(self, stage: UpstreamStage) -> None:
        """The rest of an answer that was closed can never become the next turn's."""
        provider = stage.provider()
        stage.falls_silent_after("Old words")
        events = provider.stream(request(), stage.model)
        assert next(event for event in events if isinstance(event, Text)) == Text("Old words")
        events.close()
        stage.says("New words")
        assert [event for event in ask(stage, provider) if isinstance(event, Text)] == [Text("New words")]
        assert len({recorded.connection for recorded in stage.upstream.requests}) == 2

    def test_its_models(self, stage: UpstreamStage) -> None:
        """The models come with their names and their dates."""
        models = stage.provider().models()
        assert [model.id for model in models] == list(stage.upstream.models)  # type: ignore[attr-defined]
        assert all(model.created > 1_700_000_000 and model.owned_by for model in models)

    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            (Answer.json({"data": 5}), errors.ProviderBroken),
            (Answer.json({}), errors.ProviderBroken),
            (Answer.json([]), errors.ProviderBroken),
            (Answer.html(200), errors.ProviderBroken),
            (Answer.empty(503), errors.ProviderOverloaded),
            (Answer.reset(), errors.ProviderBroken),
        ],
    )
    def test_its_models_cannot_be_had(
        self, stage: UpstreamStage, answer: Answer, expected: type[errors.ProviderError]
    ) -> None:
        """A list that is none, or does not come, is a ProviderError."""
        stage.upstream.answers["GET /v1/models"] = answer
        with pytest.raises(errors.ProviderError) as failed:
            stage.provider().models()
        assert type(failed.value) is expected


def _streamed(*steps: Step) -> Answer:
    return Answer(200, {"content-type": "text/event-stream"}, list(steps))
