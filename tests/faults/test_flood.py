"""An upstream that never pauses has no worker for itself: budgets hold, and others are answered meanwhile."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from faults.caller import ask
from faults.provider import FaultyProvider
from faults.table import TEXT
from gateway import Gateway

SOON_S = 1.5


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("route", ["flood", "flood-of-thoughts"])
def test_a_flood(glottis: Gateway, provider: FaultyProvider, route: str, stream: bool) -> None:
    """It ends when its time is up, the upstream is left, and no other caller waits for it."""
    with ThreadPoolExecutor(1) as pool:
        flood = pool.submit(ask, glottis, route, stream=stream)
        others = [ask(glottis, "openai-healthy") for _ in range(3)]
        heard = flood.result()
    assert all(other.text == TEXT and other.took_s < SOON_S for other in others)
    if route == "flood":
        heard.is_broken_off()
        assert heard.took_s < 4
    else:
        heard.is_whole()
        assert heard.text == TEXT
    provider.wait_until_idle()
