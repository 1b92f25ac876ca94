"""Failures in the domain's words: by status, by what broke below HTTP, and without anything secret."""

import email.utils
import json
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.domain import errors
from app.providers import failures


@given(st.integers(100, 999))
def test_every_status_is_a_provider_error(status: int) -> None:
    """No status escapes: those that the table does not name are a plain ProviderError."""
    error = failures.from_status(status, "words")
    assert type(error) is failures.STATUSES.get(status, errors.ProviderError)
    assert error.upstream_status == status
    assert ("words" in error.message) is (error.status in (400, 413))


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("This model's maximum context length is 8192 tokens. However, ...", "context_length_exceeded"),
        ("anything", "context_length_exceeded"),
        ("This model's maximum context length is 8192 tokens.", None),
        ("prompt is too long: 210000 tokens > 200000 maximum", None),
        ("the request exceeds the available context size, try increasing it", "exceed_context_size_error"),
        ("input exceeds the model's context window", None),
    ],
)
@pytest.mark.parametrize("status", [400, 422])
def test_a_conversation_that_is_too_long(message: str, code: str | None, status: int) -> None:
    """Each vendor's words for a full context are one error, which lets another target be tried."""
    error = failures.from_status(status, message, code=code)
    assert type(error) is errors.ContextTooLong
    assert error.code == "context_length_exceeded"


def test_only_what_the_caller_can_mend_is_passed_on() -> None:
    """Of a 400 the caller hears message, parameter and code; of the server's own trouble nothing."""
    refused = failures.from_status(400, "No such voice", code="bad_voice", param="voice")
    assert (refused.message, refused.code, refused.param) == ("No such voice", "bad_voice", "voice")
    large = failures.from_status(413, "Too large", code="x", param="messages")
    assert (large.message, large.code, large.param) == ("Too large", "request_too_large", "messages")
    ours = failures.from_status(401, "Your key is bad", code="invalid_api_key", param="key")
    assert (ours.message, ours.code, ours.param) == (ours.default_message, "provider_key_refused", None)
    for silent in ("", "   ", "<html>Bad</html>"):
        assert failures.from_status(400, silent).message == errors.ProviderRequestRefused.default_message


ODD: list[object] = [None, "words", [], {}, {"error": "words"}, {"error": {"message": 5}}, {"error": {"details": 1}}]


@pytest.mark.parametrize("content", [*map(json.dumps, ODD), "", "<html>", "\xff", "[" * 5000])
def test_odd_error_objects(content: str) -> None:
    """An error body of another shape is no reason to fail in another way."""
    error = failures.from_answer(400, {}, content.encode("latin-1"))
    assert type(error) is errors.ProviderRequestRefused


@pytest.mark.parametrize("body", [{"error": "too small"}, {"error": {"message": "too small"}}, {"detail": "too small"}])
def test_where_the_words_are(body: object) -> None:
    """Ollama's bare string and FastAPI's `detail` read as well as OpenAI's object."""
    assert failures.from_answer(400, {}, json.dumps(body).encode()).message == "too small"


@pytest.mark.parametrize("code", [None, "bad", 400])
@pytest.mark.parametrize("param", [None, "messages", ["messages"]])
def test_odd_codes(code: object, param: object) -> None:
    """`code` and `param` reach the caller only as text: some servers repeat the status, or send a list."""
    body = {"error": {"message": "No", "code": code, "param": param}}
    error = failures.from_answer(400, {}, json.dumps(body).encode())
    assert (error.message, error.code, error.param) == (
        "No",
        code if isinstance(code, str) else error.default_code,
        param if isinstance(param, str) else None,
    )


@pytest.mark.parametrize("code", ["enforced_spend_limit_reached", "contract_spend_limit_reached"])
def test_a_spent_budget_is_no_rate_limit(code: str) -> None:
    """34: no waiting mends it, so it is the server's billing that was refused, with nothing to wait for."""

    def named(code: str) -> errors.ProviderError:
        body = {"type": "error", "error": {"message": "words", "details": {"error_code": code}}}
        return failures.from_answer(429, {"retry-after": "3"}, json.dumps(body).encode())

    spent = named(code)
    assert type(spent) is errors.ProviderKeyRefused
    assert (spent.upstream_status, spent.retry_after_s) == (429, None)
    assert type(named("ramp_limit_exceeded")) is errors.ProviderRateLimited


KEYS = st.builds(
    str.__add__,
    st.sampled_from(["sk-", "sk-ant-api03-", "sk_live_", "gsk_", "xai-", "AIza", "hf_", "pplx-", "csk-", "Bearer "]),
    st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_", min_size=8, max_size=60),
)
ADDRESSES = st.builds(
    "{}://{}/{}".format,
    st.sampled_from(["http", "https", "HTTPS"]),
    st.from_regex(r"[a-z0-9.-]{3,20}(:[0-9]{2,5})?", fullmatch=True),
    st.text("abcxyz0189-._~%/?=&", max_size=20),
)
WORDS = st.text("abc defgh,.é", max_size=20)


@given(WORDS, KEYS | ADDRESSES, WORDS)
@example("Incorrect API key provided: ", "sk-upstr********ream", ". You can find")
@example("", "sk-...abcd", "")
def test_keys_and_addresses_are_scrubbed(before: str, secret: str, after: str) -> None:
    """No key, no part of a key and no address is left in a message, wherever it stands."""
    left = failures.scrubbed(f"{before} {secret} {after}")
    assert secret.removeprefix("Bearer ")[4:] not in left
    assert "://" not in left


@given(st.text())
def test_a_scrubbed_message_is_short_and_one_line(message: str) -> None:
    """A message is one line of at most 600 characters, and scrubbing it again changes nothing."""
    once = failures.scrubbed(message)
    assert len(once) <= 600
    assert once == " ".join(once.split())
    assert failures.scrubbed(once) == once


def test_words_are_left_as_they_are() -> None:
    """What is no secret stays readable."""
    message = "Invalid 'tools[0].function.name': expected a string that matches '^[a-zA-Z0-9_-]{1,64}$', see task-list."
    assert failures.scrubbed(message) == message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": " 20 "}, 20.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "20"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "20"}, 20.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}, 0.0),
        ({"retry-after": "Sunday, 06-Nov-94 08:49:37 GMT"}, 0.0),
        ({"retry-after": "Sun Nov  6 08:49:37 1994"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 99999 07:28:00 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 99:99:99 GMT"}, 0.0),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    """Milliseconds, seconds, and the three forms of dates of RFC 9110; what makes no sense asks for nothing."""
    found = failures.retry_after_s(headers)
    assert found == (seconds if seconds is None else pytest.approx(seconds, abs=120 if seconds > 100 else 0))


def test_how_long_to_wait_until_a_date() -> None:
    """A date is turned into the seconds until then."""
    in_an_hour = email.utils.formatdate(time.time() + 3600, usegmt=True)
    assert failures.retry_after_s({"retry-after": in_an_hour}) == pytest.approx(3600, abs=60)


@given(st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms"]), st.text(max_size=40)))
def test_no_header_upsets_it(headers: dict[str, str]) -> None:
    """Whatever a server writes there, it is a wait or nothing."""
    found: Any = failures.retry_after_s(headers)
    assert found is None or 0 <= found < float("inf")


@given(st.from_regex(r"(Mon, )?\d{1,3} (Jan|Feb|Xyz) \d{1,6} \d{1,3}:\d{1,3}(:\d{1,3})?( GMT| [+-]\d{4,9})?"))
def test_no_date_upsets_it(date: str) -> None:
    """A date of a strange calendar is no reason to fail in another way."""
    found: Any = failures.retry_after_s({"retry-after": date})
    assert found is None or found >= 0
