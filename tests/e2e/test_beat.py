"""Many answers at once are read in step: they leave in fewer pieces, with every word in its place."""

import json
from threading import Event

from api.client import begin_chat, read_until
from gateway import Gateway
from upstreams import Gate, OpenAIUpstream, Wait, openai

CALLERS = 12
OPENING = "x" * 120 + "."
WORDS = [f" {number}" for number in range(40)]


def pieces_of(stream: bytes) -> list[str]:
    """Return what each chunk of a stream says, framing and all else left out."""
    events = [part.split(b"\n\n")[0] for part in stream.split(b"data: ")[1:]]
    assert events.pop() == b"[DONE]"
    return [said for event in events if (said := json.loads(event)["choices"][0]["delta"].get("content"))]


def test_many_answers_are_read_in_step(gateway: Gateway, openai_upstream: OpenAIUpstream) -> None:
    """Once the voices have begun, chunks that come 5 ms apart leave together, and none is lost or out of order."""
    go = Event()
    spoken = [step for word in WORDS for step in (word, Wait(0.005))]
    openai_upstream.answers["gpt-step"] = openai.text_answer([OPENING, Gate(go), *spoken])
    callers = [begin_chat(gateway, "gpt-step", stream=True) for _ in range(CALLERS)]
    try:
        begun = [read_until(caller, OPENING.encode()) for caller in callers]
        go.set()
        answers = [first + read_until(caller, b"[DONE]\n\n") for caller, first in zip(callers, begun, strict=True)]
    finally:
        go.set()
        for caller in callers:
            caller.close()
    for opening, *rest in map(pieces_of, answers):
        assert opening == OPENING
        assert "".join(rest) == "".join(WORDS)
        assert len(rest) < len(WORDS) * 0.75
    openai_upstream.wait_until_idle()


def test_who_hangs_up_between_two_beats(gateway: Gateway, openai_upstream: OpenAIUpstream) -> None:
    """A caller who goes while the stream waits for its beat is noticed, and the others hear all."""
    go = Event()
    models = [f"gpt-leave-{number}" for number in range(CALLERS)]
    for model in models:
        openai_upstream.answers[model] = openai.text_answer([OPENING, Gate(go), "the rest"])
    callers = [begin_chat(gateway, model, stream=True) for model in models]
    try:
        begun = [read_until(caller, OPENING.encode()) for caller in callers]
        stay = CALLERS // 2
        for caller in callers[stay:]:
            caller.close()
        asked = {recorded.model: recorded for recorded in openai_upstream.requests}
        assert all(asked[model].client_gone.wait(5) for model in models[stay:])
        go.set()
        for caller, first in zip(callers[:stay], begun, strict=False):
            assert pieces_of(first + read_until(caller, b"[DONE]\n\n")) == [OPENING, "the rest"]
    finally:
        go.set()
        for caller in callers:
            caller.close()
    openai_upstream.wait_until_idle()
