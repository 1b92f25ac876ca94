"""A platform that asks again before it was answered: copies of one turn share one upstream call."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from api.client import read_until
from faults.caller import Heard, ask, calling, new_mark
from faults.provider import FaultyProvider
from faults.routes import KEYS
from faults.table import TEXT, words
from gateway import Gateway
from upstreams import Gate
from upstreams import openai as gpt

COPIES = 8
"""As many as were seen."""

HALF = words(TEXT)[29].encode()
SLACK_S = 1.0

Asker = Callable[..., "Future[Heard]"]


@pytest.fixture
def gate(provider: FaultyProvider) -> Iterator[threading.Event]:
    """A model that says half of its text, and the rest when the gate opens."""
    gate = threading.Event()
    provider.openai.answers["storm"] = lambda _: gpt.text_answer([*words(TEXT)[:30], Gate(gate), *words(TEXT)[30:]])
    yield gate
    gate.set()


@pytest.fixture
def also(glottis: Gateway) -> Iterator[Asker]:
    """Ask without waiting for the answer; returned once the gateway has taken it."""
    with ThreadPoolExecutor(COPIES * 2) as pool:

        def begin(mark: str, **options: object) -> "Future[Heard]":
            sent = threading.Event()
            future = pool.submit(ask, glottis, "storm", mark, sent=sent, **options)  # type: ignore[arg-type]
            assert sent.wait(5)
            ask(glottis, "openai-healthy")  # an answer to another caller comes later than this one was taken
            return future

        yield begin


def is_whole(heard: Heard) -> None:
    """Assert that it is the whole answer, once."""
    heard.is_whole()
    assert heard.text == TEXT


@pytest.mark.parametrize("stream", [True, False])
def test_copies_share_a_call(
    glottis: Gateway, provider: FaultyProvider, gate: threading.Event, also: Asker, stream: bool
) -> None:
    """Eight copies at once make one call, and each of them gets the whole answer."""
    mark = new_mark("storm")
    futures = [also(mark, stream=stream) for _ in range(COPIES)]
    gate.set()
    for future in futures:
        is_whole(future.result())
    assert len(provider.attempts(mark)) == 1
    lines = glottis.turns(COPIES, conversation_id=mark)
    assert [line["end"] for line in lines] == ["completed"] * COPIES
    # The call is accounted for once, in one of the lines; the others name who began it.
    names = [line["shares"] for line in lines]
    assert names.count(None) == 1
    assert len(set(names) - {None}) == 1
    assert set(names) - {None} <= {line["request_id"] for line in lines}


def test_who_comes_late_hears_it_from_the_start(
    glottis: Gateway, provider: FaultyProvider, gate: threading.Event, also: Asker
) -> None:
    """A copy that arrives in mid-answer gets at once what was said so far, then the rest as it comes."""
    mark = new_mark("storm")
    with calling(glottis, "storm", mark, stream=True) as first:
        read_until(first, HALF)
        with calling(glottis, "storm", mark, stream=True) as second:
            assert read_until(second, HALF).count(b'"role"') == 1
            third = also(mark)
            gate.set()
            read_until(first, b"[DONE]")
            read_until(second, b"[DONE]")
            is_whole(third.result())
    assert len(provider.attempts(mark)) == 1


@pytest.mark.parametrize("leaver", [0, 1])
def test_one_leaves(
    glottis: Gateway, provider: FaultyProvider, gate: threading.Event, also: Asker, leaver: int
) -> None:
    """Whoever leaves, first or second to come, the others hear the answer to its end."""
    mark = new_mark("storm")
    stays: list[Future[Heard]] = []
    if leaver == 1:
        stays.append(also(mark))
    with calling(glottis, "storm", mark, stream=True) as sock:
        read_until(sock, HALF)
        stays.append(also(mark))
    stays.append(also(mark))
    gate.set()
    for future in stays:
        is_whole(future.result())
    (attempt,) = provider.attempts(mark)
    assert attempt.is_over
    gone = glottis.turns(1, conversation_id=mark, end="caller_gone")
    assert len(gone) == 1


@pytest.mark.parametrize("order", [[0, 1], [1, 0]], ids=["in order", "the other way round"])
def test_the_last_one_leaves(
    glottis: Gateway, provider: FaultyProvider, gate: threading.Event, order: list[int]
) -> None:
    """The upstream call goes on while anybody listens, and ends at once when the last has left."""
    mark = new_mark("storm")
    with calling(glottis, "storm", mark, stream=True) as first:
        read_until(first, HALF)
        with calling(glottis, "storm", mark, stream=True) as second:
            read_until(second, HALF)
            (attempt,) = provider.attempts(mark)
            callers = [first, second]
            callers[order[0]].close()
            ask(glottis, "openai-healthy")  # by the time of this answer the leaving was noticed
            assert not attempt.recorded.client_gone.is_set()
            closed_at = time.monotonic()
            callers[order[1]].close()
            assert attempt.left_at - closed_at < SLACK_S
    glottis.turns(2, conversation_id=mark, end="caller_gone")


@pytest.mark.parametrize("order", [[0, 1], [1, 0]], ids=["in order", "the other way round"])
@pytest.mark.parametrize("route", ["gone-openai-silent", "gone-openai-role-only"])
def test_the_last_one_leaves_before_a_word(
    glottis: Gateway, provider: FaultyProvider, route: str, order: list[int]
) -> None:
    """It is the same before the first word."""
    mark = new_mark("storm")
    with (
        calling(glottis, route, mark, stream=True) as first,
        calling(glottis, route, mark, stream=False) as other_way,
        calling(glottis, route, mark, stream=True) as second,
    ):
        provider.attempts(mark, 2)
        other_way.close()
        ask(glottis, "openai-healthy")  # so all of them were taken
        one, other = provider.attempts(mark)
        shared = one if other.recorded.client_gone.is_set() else other
        callers = [first, second]
        callers[order[0]].close()
        ask(glottis, "openai-healthy")
        assert not shared.recorded.client_gone.is_set()
        closed_at = time.monotonic()
        callers[order[1]].close()
        assert shared.left_at - closed_at < SLACK_S
    assert len(provider.attempts(mark)) == 2


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("leaver", [0, 1])
def test_one_leaves_before_a_word(
    glottis: Gateway, provider: FaultyProvider, gate: threading.Event, also: Asker, leaver: int, stream: bool
) -> None:
    """Whoever leaves while nothing was said yet, the others hear the whole answer."""
    mark = new_mark("storm")
    provider.openai.answers["storm"] = lambda _: gpt.text_answer([Gate(gate), *words(TEXT)])
    stays = [also(mark, stream=stream)] if leaver == 1 else []
    with calling(glottis, "storm", mark, stream=stream):
        provider.attempts(mark, 1)
        stays.append(also(mark, stream=stream))
    stays.append(also(mark, stream=stream))
    gate.set()
    for future in stays:
        is_whole(future.result())
    assert len(provider.attempts(mark)) == 1


def test_a_call_that_was_left_is_not_shared(glottis: Gateway, provider: FaultyProvider, gate: threading.Event) -> None:
    """Who asks again after having left gets an answer of their own."""
    mark = new_mark("storm")
    with calling(glottis, "storm", mark, stream=True) as sock:
        read_until(sock, HALF)
    assert provider.attempts(mark)[0].left_at
    gate.set()
    is_whole(ask(glottis, "storm", mark))
    assert len(provider.attempts(mark)) == 2


@pytest.mark.parametrize("stream", [True, False])
def test_a_retry_after_the_end(glottis: Gateway, provider: FaultyProvider, gate: threading.Event, stream: bool) -> None:
    """A copy that comes right after the answer was complete is answered from it."""
    gate.set()
    mark = new_mark("storm")
    for _ in range(3):
        is_whole(ask(glottis, "storm", mark, stream=stream))
    assert len(provider.attempts(mark)) == 1


def test_a_failure_is_not_kept(glottis: Gateway, provider: FaultyProvider) -> None:
    """A retry after a failure is a new attempt: that is what it is for."""
    mark = new_mark("storm")
    assert ask(glottis, "storm-fails", mark).status == 502
    is_whole(ask(glottis, "storm-fails", mark))
    assert len(provider.attempts(mark)) == 2


def test_copies_share_a_failure(glottis: Gateway, provider: FaultyProvider) -> None:
    """Copies of a turn that fails get its error, each with its status, from one call."""
    mark = new_mark("storm")
    with ThreadPoolExecutor(3) as pool:
        copies = list(pool.map(lambda _: ask(glottis, "one-openai-silent", mark), range(3)))
    assert [copy.status for copy in copies] == [504] * 3
    assert len(provider.attempts(mark)) == 1


OTHERS = {
    "another key": {"key": KEYS["other"]},
    "another conversation": {"conversation": "someone-else"},
    "other words": {"user": "something else"},
    "another parameter": {"temperature": 0.5},
    "no conversation": {"conversation": ""},
}


@pytest.mark.parametrize("other", OTHERS)
def test_who_does_not_share(
    glottis: Gateway, provider: FaultyProvider, gate: threading.Event, also: Asker, other: str
) -> None:
    """Nobody hears an answer that was made for another caller, conversation or request."""
    mark = new_mark("storm")
    futures = [also(mark), also(mark, **OTHERS[other])]
    gate.set()
    for future in futures:
        is_whole(future.result())
    assert len(provider.attempts(mark)) == 2


def test_without_a_conversation_nothing_is_shared(
    glottis: Gateway, provider: FaultyProvider, gate: threading.Event, also: Asker
) -> None:
    """Two callers may say the same words: only a conversation that is named tells copies from callers."""
    mark = new_mark("storm")
    futures = [also(mark, conversation="") for _ in range(2)]
    gate.set()
    for future in futures:
        is_whole(future.result())
    assert len(provider.attempts(mark)) == 2


def test_a_conversation_named_in_the_body(
    glottis: Gateway, provider: FaultyProvider, gate: threading.Event, also: Asker
) -> None:
    """The conversation's name may come in the extra body instead of the header."""
    mark = new_mark("storm")
    extra = {"elevenlabs_extra_body": {"conversation_id": mark}}
    futures = [also(mark, conversation="", **extra) for _ in range(2)]
    gate.set()
    for future in futures:
        is_whole(future.result())
    assert len(provider.attempts(mark)) == 1
