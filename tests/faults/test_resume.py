"""An answer that breaks off in the middle goes on from there, and nobody hears where the seam is."""

from faults.caller import BOTH_WAYS, Heard, Turn, asks, line_of, targets_in
from faults.provider import FaultyProvider
from faults.routes import CUTS, WAYS_ON
from faults.table import COUNTED, TEXT, said_words
from faults.wires import WIRES
from gateway import Gateway


@asks(
    *(f"{wire}-{fault}-then-{fallback}" for wire in WIRES for fault in CUTS for fallback in WAYS_ON),
    stream=BOTH_WAYS,
)
def test_the_seam_is_not_heard(heard: Heard, provider: FaultyProvider, turn: Turn) -> None:
    """However the next model goes on, and whatever it repeats, each word is said once and none is lost."""
    heard.is_whole()
    # Where the next model puts white space of its own, that is no other word.
    assert heard.text == TEXT or ("spaced" in turn.route and heard.text.split() == TEXT.split())
    assert heard.finishes == ["stop"]
    first, second = provider.attempts(heard.mark)
    assert turn.route.endswith(f"{first.model}-then-{second.model}")
    assert second.is_over
    if "stall" in first.model:
        assert first.left_at < second.at + 1


@asks(*(f"{wire}-cut-40-then-healthy" for wire in WIRES))
def test_what_the_next_model_is_asked(heard: Heard, provider: FaultyProvider) -> None:
    """It is shown the conversation, then what was said as the assistant's turn, and a user turn asks it to go on."""
    first, second = provider.attempts(heard.mark)
    assert second.messages[: len(first.messages)] == first.messages
    said, (role, words) = second.messages[len(first.messages) :]
    assert said == ("assistant", said_words(40))
    assert role == "user"
    assert words


@asks("openai-cut-in-word-then-healthy")
def test_a_word_cut_in_two(heard: Heard) -> None:
    """A word whose first half was spoken gets its second half, without a space between."""
    assert heard.text == TEXT


@asks("openai-cut-40-then-repeats-five")
def test_the_words_flow_on(heard: Heard) -> None:
    """What comes after the seam is still streamed, piece by piece, not held until the end."""
    assert len([text for _, text in heard.pieces if text]) > 4


@asks(*(f"{wire}-cut-40-then-counted" for wire in WIRES), stream=BOTH_WAYS, include_usage=True)
def test_usage_is_summed(heard: Heard) -> None:
    """What both attempts cost is told in one usage: more than the second alone said of itself."""
    heard.is_whole()
    assert heard.usage["prompt_tokens"] > COUNTED["anthropic"]["input_tokens"]
    assert heard.usage["completion_tokens"] > COUNTED["anthropic"]["output_tokens"]
    assert heard.usage["total_tokens"] == heard.usage["prompt_tokens"] + heard.usage["completion_tokens"]


@asks("cut-twice", stream=BOTH_WAYS)
def test_resuming_that_fails_too(heard: Heard, glottis: Gateway, provider: FaultyProvider, turn: Turn) -> None:
    """Where every attempt breaks off, the answer says to be broken, and what was said was said once."""
    heard.is_broken_off()
    assert heard.status == (200 if turn.stream else 502)
    assert heard.text == (said_words(40) if turn.stream else "")
    assert len(provider.attempts(heard.mark)) == 2
    line = line_of(glottis, heard)
    assert line["end"] == "provider_error"
    assert len(line["attempts"]) == 2


@asks("cut-then-mute", "cut-then-401", stream=BOTH_WAYS)
def test_a_second_try_to_go_on(heard: Heard, provider: FaultyProvider) -> None:
    """Where the one that is to go on fails or says nothing, the next target goes on."""
    heard.is_whole()
    assert heard.text == TEXT
    assert [attempt.model for attempt in provider.attempts(heard.mark)][::2] == ["cut-40", "healthy"]


@asks("no-resume", stream=BOTH_WAYS)
def test_resuming_may_be_forbidden(heard: Heard, provider: FaultyProvider, turn: Turn) -> None:
    """With resume = false a cut answer ends in an error, and nobody else is asked."""
    heard.is_broken_off()
    assert heard.text == (said_words(40) if turn.stream else "")
    assert len(provider.attempts(heard.mark)) == 1


@asks("tool-then", stream=BOTH_WAYS, tools=("end_call",))
def test_a_tool_call_is_not_resumed(heard: Heard, provider: FaultyProvider) -> None:
    """Once a tool call has begun, a cut is an error: half a call is never finished by another model."""
    heard.is_broken_off()
    assert len(provider.attempts(heard.mark)) == 1


@asks("openai-cut-40-then-healthy")
def test_the_log_tells_of_a_seam(heard: Heard, glottis: Gateway) -> None:
    """The line of a resumed turn is that of a completed one, and has both attempts and the resumption."""
    line = line_of(glottis, heard)
    assert targets_in(line) == ["openai/cut-40", "anthropic/healthy"]
    assert [attempt["outcome"] for attempt in line["attempts"]] == ["cut", "answered"]
    assert (line["end"], line["resumes"], line["text_chars"]) == ("completed", 1, len(TEXT))
