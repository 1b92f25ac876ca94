"""Words that fill the silence while the model says nothing: before its answer, never in it."""

from faults.caller import Heard, asks, line_of
from faults.provider import FaultyProvider
from faults.table import LATE_S, TEXT
from gateway import Gateway

FILLER = "Hmm, one moment... "
PHRASES = ("One... ", "Two... ", "Three... ")
FILLER_S = 0.3
SLACK_S = 0.35


@asks("filler")
def test_a_long_silence_is_filled_once(heard: Heard) -> None:
    """After filler_after_s one phrase is spoken, then the answer; it is one answer with one role."""
    heard.is_whole()
    assert heard.text == FILLER + TEXT
    assert FILLER_S - 0.05 < heard.first_word_s < FILLER_S + SLACK_S
    assert heard.pieces[0][1] == FILLER


@asks("filler-fast")
def test_an_answer_in_time_has_none(heard: Heard) -> None:
    """A model that speaks soon enough is not announced."""
    assert heard.text == TEXT


@asks("filler", stream=[False])
def test_a_whole_answer_has_none(heard: Heard) -> None:
    """Nobody waits while an answer that is not streamed is made: no filler in it."""
    assert heard.text == TEXT


@asks("filler-list")
def test_several_fillers(heard: Heard) -> None:
    """With filler_max = 2 a second phrase fills the next silence, another one than the first."""
    heard.is_whole()
    said = heard.text.removesuffix(TEXT)
    assert said in {first + second for first in PHRASES for second in PHRASES if first != second}


@asks("filler-stall")
def test_none_in_the_middle_of_an_answer(heard: Heard) -> None:
    """Once something was said no filler comes, however long the silence: it would stand in mid-sentence."""
    heard.is_whole()
    assert heard.text == TEXT


@asks("filler-cut")
def test_a_seam_knows_no_filler(heard: Heard, provider: FaultyProvider) -> None:
    """A model that goes on from what was said is not shown the filler, and its words fit on."""
    heard.is_whole()
    assert heard.text == FILLER + TEXT
    *_, resumed = provider.attempts(heard.mark)
    assert "assistant" in {role for role, _ in resumed.messages}
    assert not [text for _, text in resumed.messages if FILLER.strip() in text]


@asks("filler-tool", tools=("end_call",))
def test_none_after_a_tool_call_has_begun(heard: Heard) -> None:
    """A call whose arguments are slow is not talked over."""
    heard.is_whole()
    assert heard.text == ""
    assert heard.finishes == ["tool_calls"]


@asks("filler-falls-back")
def test_a_filler_does_not_end_the_search(heard: Heard, provider: FaultyProvider) -> None:
    """After the filler the first target may still fail, and the next one answers."""
    heard.is_whole()
    assert heard.text == FILLER + TEXT
    assert [attempt.model for attempt in provider.attempts(heard.mark)] == ["silent", "healthy"]


@asks("filler-fails")
def test_a_filler_and_then_nothing(heard: Heard, glottis: Gateway) -> None:
    """Where everything fails after a filler, the status is gone: an error event, and no clean end."""
    heard.is_broken_off()
    assert heard.text == FILLER
    assert line_of(glottis, heard)["end"] in ("provider_error", "provider_timeout")


@asks("filler")
def test_the_log_counts_fillers(heard: Heard, glottis: Gateway) -> None:
    """The line says how many there were; they are none of the answer's words, nor its first."""
    line = line_of(glottis, heard)
    assert line["fillers"] == 1
    assert line["text_chars"] == len(TEXT)
    assert line["first_speakable_ms"] > (LATE_S - 0.1) * 1000
