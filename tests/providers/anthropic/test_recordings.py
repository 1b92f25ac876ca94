"""Recorded streams come to their events, in packets of any size."""

from pathlib import Path

import pytest
from providers.recorded import decoded, expected, recordings

from app.providers.anthropic.answers import AnswerReader

SIZES = [1, 2, 3, 5, 7, 13, 64, 1000, 1_000_000]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("recording", recordings(__file__), ids=lambda path: path.stem)
def test_recordings(recording: Path, size: int) -> None:
    """What the vendor sent comes to the same events, wherever the network cuts it."""
    assert decoded(recording, lambda: AnswerReader({}), size) == expected(recording)


def test_every_recording_has_its_events() -> None:
    """Bytes and events lie side by side."""
    folder = Path(__file__).parent / "recordings"
    assert {path.stem for path in folder.glob("*.sse")} == {path.stem for path in folder.glob("*.json")} != set()
