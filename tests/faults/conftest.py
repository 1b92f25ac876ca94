"""One gateway with a route for every fault, the provider that has them all, and answers that are asked for early."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from faults.caller import Heard, Turn
from faults.provider import FaultyProvider, Unanswering
from faults.pulse import Pulse
from faults.routes import config, environment
from gateway import Gateway

AT_ONCE = 12
MOST_AGAIN = 3


@pytest.fixture(scope="session")
def provider() -> Iterator[FaultyProvider]:
    """The provider that breaks as the model's name says."""
    with FaultyProvider() as running:
        yield running


@pytest.fixture(scope="session")
def glottis(provider: FaultyProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Glottis with all those routes, one worker."""
    folder: Path = tmp_path_factory.mktemp("faults")
    with (
        Unanswering() as unanswering,
        Gateway(environment(provider), config=config(f"{unanswering.url}/v1"), folder=folder) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def pulse() -> Iterator[Pulse]:
    """What knows of stalls of the machine."""
    with Pulse() as beating:
        yield beating


@pytest.fixture(scope="module")
def answers(glottis: Gateway, pulse: Pulse, request: pytest.FixtureRequest) -> Iterator[dict[Turn, Future[Heard]]]:
    """Every answer that the chosen tests of this module look at, many of them in the making at a time."""
    calls = [getattr(item, "callspec", None) for item in request.session.items if item.path == request.path]
    turns: list[Turn] = [call.params["turn"] for call in calls if call and "turn" in call.params]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {turn: pool.submit(turn.ask, glottis) for turn in dict.fromkeys(turns)}


@pytest.fixture
def heard(answers: dict[Turn, Future[Heard]], turn: Turn, glottis: Gateway, pulse: Pulse) -> Heard:
    """The answer to the test's turn: see `caller.asks`. One that the machine held up is asked for again."""
    answer = answers[turn].result()
    for _ in range(MOST_AGAIN):
        if not pulse.stalled(answer.began_at, answer.took_s):
            break
        answer = turn.ask(glottis)
    return answer
