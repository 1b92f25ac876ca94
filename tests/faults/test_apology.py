"""An answer of no words: an apology in its place, a failure, or, where nobody spoke, what was meant."""

import pytest
from faults.caller import BOTH_WAYS, Heard, ask, asks, line_of, new_mark, tool
from faults.provider import FaultyProvider
from gateway import Gateway

APOLOGY = "I am sorry, please call again."


@asks("sorry-openai-503-always", "sorry-anthropic-silent", "sorry-openai-empty", "sorry-both", stream=BOTH_WAYS)
def test_an_apology(heard: Heard, glottis: Gateway) -> None:
    """Where everything failed and an apology is set, it is spoken as an answer; the log says that the turn failed."""
    heard.is_whole()
    assert heard.text == APOLOGY
    assert heard.finishes == ["stop"]
    line = line_of(glottis, heard)
    assert line["end"] in ("provider_error", "provider_timeout")
    assert line["status"] == 200
    assert line["apologised"] is True
    assert line["error"]


@asks("filler-sorry")
def test_an_apology_after_a_filler(heard: Heard) -> None:
    """It may follow a filler."""
    heard.is_whole()
    assert heard.text == f"Hmm, one moment... {APOLOGY}"


@asks("sorry-openai-cut-40", "sorry-openai-stall-20", "sorry-openai-tool-cut")
def test_no_apology_behind_half_an_answer(heard: Heard) -> None:
    """A stream that broke off ends in an error: what was half said is not made a whole by an apology."""
    heard.is_broken_off()
    assert APOLOGY not in heard.text


@asks("sorry-openai-cut-40", "sorry-openai-tool-cut", stream=[False])
def test_half_an_answer_is_never_whole(heard: Heard) -> None:
    """An answer that is not streamed and breaks off is an error or an apology, and nothing of it is told."""
    assert (heard.status, heard.text) in [(502, ""), (200, APOLOGY)]


@asks("sorry-openai-filter-400", "sorry-openai-bad-parameter", stream=BOTH_WAYS)
def test_a_refusal_needs_no_apology(heard: Heard) -> None:
    """A request that is refused for what it asks is the caller's to mend: it gets its 400."""
    heard.is_broken_off()
    assert heard.status == 400


@pytest.mark.parametrize("stream", BOTH_WAYS)
@pytest.mark.parametrize(
    ("said", "offered", "status"),
    [("", "skip_turn", 200), ("...", "skip_turn", 200), ("...", "end_call", 502), ("Hello?", "skip_turn", 502)],
)
def test_silence_may_be_answered_with_silence(
    glottis: Gateway, provider: FaultyProvider, said: str, offered: str, status: int, stream: bool
) -> None:
    """A caller who says nothing may hear nothing, if the agent can skip a turn; else an empty answer is a failure."""
    mark = new_mark("silence")
    messages = [
        {"role": "user", "content": f"{mark}: hello"},
        {"role": "assistant", "content": "Take your time."},
        {"role": "user", "content": said},
    ]
    heard = ask(glottis, "one-openai-empty", mark, stream=stream, messages=messages, tools=[tool(offered)])
    assert heard.status == status
    assert heard.text == ""
    assert len(provider.attempts(mark)) == (1 if status == 200 else 2)
    if status == 200:
        heard.is_whole()
