"""What the log may say of an error: known names, numbers and codes, and nobody's own words."""

import pytest

from app.domain import telling
from app.schemas.chat import CHAT


@pytest.mark.parametrize(
    ("param", "told"),
    [
        ("messages[2].content[0].image_url.url", "messages[2].content[0].image_url.url"),
        ("messages.[2].content", "messages.[2].content"),
        ("messages.2.content", "messages.2.content"),
        ("metadata.hunter", "metadata"),
        ("tools[0].function.parameters.properties.hunter", "tools[0].function.parameters"),
        ("tools[0]hunter", "tools"),
        ("model hunter", None),
        ("Model", None),
        ("hunter", None),
        ("", None),
        (None, None),
    ],
)
def test_a_field_s_place(param: str | None, told: str | None) -> None:
    """A path is told as far as it holds names of the APIs and numbers."""
    assert telling.place(param) == told


def test_all_fields_of_a_request_are_known() -> None:
    """Whatever field is refused, the log can name it."""
    assert {name for name in CHAT.load_fields if telling.place(name) != name} == set()


@pytest.mark.parametrize("code", ["insufficient_quota", "rate_limit_error", "context_length_exceeded"])
def test_a_code(code: str) -> None:
    """A code that looks like one is told."""
    assert telling.of(code, None) == f"code {code}"


@pytest.mark.parametrize("code", ["hunter", "sk-abc_def", "my_secret_7", "Said_so", "two words", "a_" * 40, "", None])
def test_no_code(code: str | None) -> None:
    """What may be anything else is not."""
    assert telling.of(code, None) == "without a code"


def test_a_reason() -> None:
    """Our own words stand behind the place."""
    assert telling.of(None, "messages[0].role", "Expected a string.") == "param messages[0].role: Expected a string."
