"""The seam: wherever an answer is cut, and whatever the next attempt repeats, the caller hears it once and whole."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.domain.request import TurnRequest
from app.engine.seam import Seam, continuation

SPACES = st.sampled_from([" ", "  ", "\n", " \n"])


def joined(said: str, *pieces: str) -> str:
    """Return what the caller hears in all."""
    seam = Seam(said)
    return said + "".join([seam.feed(piece) for piece in pieces]) + seam.flush()


@st.composite
def answers(draw: st.DrawFn, *, shortest: int = 1, letters: str = "abcdefgh,.") -> str:
    """Make an answer in which no word comes twice."""
    word = st.text(letters, min_size=shortest, max_size=shortest + 5)
    words = draw(st.lists(word, min_size=1, max_size=12, unique=True))
    return "".join(word + draw(SPACES) for word in words[:-1]) + words[-1]


@st.composite
def pieces(draw: st.DrawFn, text: str) -> list[str]:
    """Cut a text into pieces."""
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def word_starts(text: str) -> list[int]:
    """Return where the words of a text begin."""
    return [at for at in range(len(text)) if not text[at].isspace() and (at == 0 or text[at - 1].isspace())]


def is_alike(said: str, new: str, before: int | None = None) -> bool:
    """Whether a new text happens to begin as what was said does from a word on: nobody could tell it from a repetition.

    With `before` only words that begin before there count: "aa" after "a a" is its last word, or all of it.
    """
    bare_said, bare_new = "".join(said.split()), "".join(new.split())
    starts = [at for at in word_starts(said) if before is None or at < before]
    return any(bare_new.startswith(bare_said[len("".join(said[:at].split())) :]) for at in starts)


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_every_cut_and_every_repetition(data: st.DataObject) -> None:
    """Cut anywhere, begun again at any word that was said: what was said plus what is said is the answer."""
    answer = data.draw(answers())
    cut = data.draw(st.integers(1, len(answer)))
    said = answer[:cut]
    again = data.draw(st.sampled_from(word_starts(said)))
    assume(not is_alike(said, answer[again:], before=again))
    assert joined(said, *data.draw(pieces(answer[again:]))) == answer


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_every_cut_without_repetition(data: st.DataObject) -> None:
    """Cut anywhere, gone on exactly there: nothing is lost."""
    answer = data.draw(answers())
    cut = data.draw(st.integers(1, len(answer)))
    said, new = answer[:cut], answer[cut:]
    assume(not is_alike(said, new))
    assert joined(said, *data.draw(pieces(new))) == answer


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_white_space_may_differ(data: st.DataObject) -> None:
    """A repetition is known whatever its white space, before it and in it: every word is heard once, in its order."""
    answer = data.draw(answers(shortest=12, letters="abcdefgh"))
    said = answer[: data.draw(st.integers(12, len(answer)))]
    again = data.draw(st.sampled_from([at for at in word_starts(said) if len(said) - at >= 12] or [0]))
    other = data.draw(st.sampled_from(["", " ", "\n\n"])) + " ".join(answer[again:].split())
    assert joined(said, *data.draw(pieces(other))).split() == answer.split()


@pytest.mark.parametrize(
    ("said", "new", "heard"),
    [
        ("Hello wor", "world, how are you?", "Hello world, how are you?"),
        ("Hello wor", "ld, how are you?", "Hello world, how are you?"),
        ("Hello wor", "Hello world, how are you?", "Hello world, how are you?"),
        ("I have", " a dog", "I have a dog"),
        ("My number is 5 5", " 5 1 2", "My number is 5 5 5 1 2"),
        ("My number is 5 5", "5 5 1", "My number is 5 5 1"),
        ("until noon. If", "\n\nIf you want", "until noon. If you want"),
        ("until noon. If", " If you want", "until noon. If you want"),
        ("I can", " cannot", "I can cannot"),
        ("I can ", "cannot", "I can cannot"),
        ("I can ", "can go", "I can go"),
        ("All is said.", "said.", "All is said."),
        ("All is said.", "", "All is said."),
        ("All is said.", " And more.", "All is said. And more."),
        ("One two", "Three", "One twoThree"),
        ("One two three four", "\n\nOne two three four five", "One two three four five"),
        ('He said: "Wait', '"Wait a moment."', 'He said: "Wait a moment."'),
    ],
)
def test_seams(said: str, new: str, heard: str) -> None:
    """A word that was cut is completed, a repetition is dropped, and what only looks like one is kept."""
    assert joined(said, new) == heard
    assert joined(said, *new) == heard


def test_the_request_that_goes_on() -> None:
    """The history, what was said as the assistant's turn, and a user's turn that asks for the rest: no prefill."""
    request = TurnRequest(model="m", messages=[{"role": "user", "content": "Hi"}], params={"seed": 1})
    going_on = continuation(request, "Hello wor")
    assert going_on.messages[:1] == request.messages
    assert going_on.messages[1] == {"role": "assistant", "content": "Hello wor"}
    assert going_on.messages[2]["role"] == "user"
    assert '"wor"' in str(going_on.messages[2]["content"])
    assert going_on.params == request.params
    assert len(request.messages) == 1
