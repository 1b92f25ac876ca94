"""Answers that are no stream, and errors in nobody's shape: named for what they are, in both formats."""

from collections.abc import Iterator

import pytest
from providers.hostile import FORMATS, STREAM, Formats, streamed
from upstreams import Answer, Send
from upstreams import anthropic as anthropic_script
from upstreams import openai as openai_script

from app.domain import errors
from app.domain.events import Finish, Text

COMPLETION = b'{"choices":[{"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}'
PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"
DEEP = b"[" * 20_000 + b"]" * 20_000


@pytest.fixture(scope="module")
def formats() -> Iterator[Formats]:
    """Both formats."""
    with Formats() as running:
        yield running


def whole(body: bytes, content_type: str | None, status: int = 200) -> Answer:
    """Make an answer that is not streamed."""
    return Answer(status, {} if content_type is None else {"content-type": content_type}, [Send(body)], "length")


NO_STREAMS = {
    "JSON": whole(COMPLETION, "application/json"),
    "JSON, said to be a stream": whole(COMPLETION, "text/event-stream"),
    "JSON, said to be nothing": whole(COMPLETION, None),
    "an error in JSON": whole(b'{"error":{"message":"Busy","code":429}}', "application/json"),
    "a page": whole(PAGE, "text/html; charset=utf-8"),
    "a page, said to be a stream": whole(PAGE, "text/event-stream"),
    "a page, said to be nothing": whole(PAGE, None),
    "plain words": whole(b"Hello there", "text/plain"),
    "lines of JSON": whole(COMPLETION + b"\n" + COMPLETION + b"\n", "application/x-ndjson"),
    "nothing": Answer.empty(),
    "nothing, said to be a stream": Answer.empty(headers=STREAM),
    "nothing in chunks": streamed(b""),
    "nothing but comments": streamed(b": ping\n\n: ping\n\n"),
    "noise": streamed(bytes(range(256))),
    "204": Answer(204, {}, [], "close"),
    "206": whole(COMPLETION, "text/event-stream", 206),
    "compressed, unasked": streamed(b"\x1f\x8b\x08\x00", headers={**STREAM, "content-encoding": "gzip"}),
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("case", NO_STREAMS)
def test_what_is_no_stream(formats: Formats, format: str, case: str) -> None:  # noqa: A002
    """A success that is no stream is ProviderBroken: never an answer without words, and never a fault of ours."""
    assert type(formats.fails(format, NO_STREAMS[case])) is errors.ProviderBroken


def test_the_log_is_told_what_came_instead(formats: Formats) -> None:
    """An address that leads to a page is found by its content-type, a proxy that compresses by what it did."""
    assert "text/html" in (formats.fails("openai", NO_STREAMS["a page"]).detail or "")
    assert "compressed" in (formats.fails("openai", NO_STREAMS["compressed, unasked"]).detail or "")


STREAMS = {
    "openai": openai_script.chunk({"content": "Hi"}, "stop") + openai_script.DONE,
    "anthropic": anthropic_script.event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hi"})
    + anthropic_script.event("message_stop"),
}
TYPES = {
    "none": {},
    "plain": {"content-type": "text/plain"},
    "bytes": {"content-type": "application/octet-stream"},
    "another charset": {"content-type": "text/event-stream; charset=iso-8859-1"},
    "capitals": {"content-type": "TEXT/EVENT-STREAM"},
    "JSON": {"content-type": "application/json"},
    "a page": {"content-type": "text/html; charset=utf-8"},
    "not compressed": {**STREAM, "content-encoding": "identity"},
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("headers", TYPES.values(), ids=list(TYPES))
def test_a_stream_of_another_name(formats: Formats, format: str, headers: dict[str, str]) -> None:  # noqa: A002
    """What is a stream is read as one, whatever a server says that it is: Flask calls everything a page."""
    assert formats.ask(format, streamed(STREAMS[format], headers=headers)) == [Text("Hi"), Finish("stop")]


STATUSES = {
    400: errors.ProviderRequestRefused,
    401: errors.ProviderKeyRefused,
    404: errors.ProviderModelNotFound,
    429: errors.ProviderRateLimited,
    500: errors.ProviderError,
    503: errors.ProviderOverloaded,
}
BODIES: dict[str, tuple[bytes, str | None]] = {
    "a page": (PAGE, "text/html"),
    "a page, said to be JSON": (PAGE, "application/json"),
    "nothing": (b"", None),
    "nothing, said to be JSON": (b"", "application/json"),
    "blank": (b" \r\n ", "text/plain"),
    "words": (b"upstream connect error", "text/plain"),
    "half of JSON": (b'{"error":{"mess', "application/json"),
    "JSON, said to be a page": (b'{"error":{"message":"No"}}', "text/html"),
    "null": (b"null", "application/json"),
    "a number": (b"5", "application/json"),
    "a string": (b'"No"', "application/json"),
    "a list": (b'[{"error":{"message":"No"}}]', "application/json"),
    "no error": (b'{"error":null}', "application/json"),
    "an error as a string": (b'{"error":"No"}', "application/json"),
    "an error as a list": (b'{"error":["No"]}', "application/json"),
    "a message as an object": (b'{"error":{"message":{"text":"No"},"type":[],"code":{}}}', "application/json"),
    "a bare message": (b'{"object":"error","message":"No","type":"x","code":40001}', "application/json"),
    "a detail": (b'{"detail":[{"loc":["body"],"msg":"No"}]}', "application/json"),
    "deep JSON": (b'{"error":' + DEEP + b"}", "application/json"),
    "no encoding": (b'{"error":{"message":"\xff\xfe"}}', "application/json"),
    "an unknown charset": (b'{"error":{"message":"No"}}', "application/json; charset=klingon"),
    "an event": (b'data: {"error":{"message":"No"}}\n\n', "text/event-stream"),
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("case", BODIES)
def test_errors_of_any_body(formats: Formats, format: str, case: str) -> None:  # noqa: A002
    """The status says what an error is; of its body a caller hears words or nothing, and no markup."""
    body, content_type = BODIES[case]
    for status, expected in STATUSES.items():
        error = formats.fails(format, whole(body, content_type, status))
        assert type(error) is expected
        assert error.upstream_status == status
        assert error.message
        assert "<" not in error.message


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(formats: Formats, format: str, status: int) -> None:  # noqa: A002
    """A redirect is the provider's failure: what a caller said is sent nowhere else."""
    upstream = formats.upstreams[format]
    before = len(upstream.requests)
    formats.fails(format, Answer(status, {"location": f"{upstream.url}/elsewhere"}, [], "length"))
    assert len(upstream.requests) == before + 1
