"""A turn's request: what can be asked of it."""

from typing import Any

import pytest

from app.domain.request import Content, Message, TurnRequest, text_of

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Hello", "Hello"),
        ("", ""),
        (None, ""),
        ([], ""),
        ([{"type": "text", "text": "one"}], "one"),
        ([{"type": "text", "text": "one"}, IMAGE, {"type": "text", "text": "two"}], "one\ntwo"),
        ([IMAGE], ""),
    ],
)
def test_text_of_any_form_of_content(content: Content, text: str) -> None:
    """The words of a content are the same, whichever of its three forms it has."""
    assert text_of(content) == text


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([{"role": "user", "content": "first"}, {"role": "user", "content": "last"}], "last"),
        ([{"role": "user", "content": "asked"}, {"role": "assistant", "content": "answered"}], "asked"),
        ([{"role": "user", "content": [{"type": "text", "text": "parts"}]}], "parts"),
        ([{"role": "user"}], ""),
        ([{"role": "system", "content": "only this"}], ""),
        ([{"role": "user", "content": "asked"}, {"role": "user", "content": ""}], ""),
    ],
)
def test_last_user_text(messages: list[Message], text: str) -> None:
    """A function finds the caller's last words, or "" where the caller has said nothing."""
    assert TurnRequest(model="m", messages=messages).last_user_text == text


@pytest.mark.parametrize("field", ["model", "messages", "params", "extra"])
def test_a_request_does_not_change(field: str) -> None:
    """Providers run side by side on one request, so none may change it."""
    request: Any = TurnRequest(model="m", messages=[])
    with pytest.raises(AttributeError):
        setattr(request, field, "other")
