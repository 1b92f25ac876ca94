"""When a streamed answer's headers leave, and what keeps its connection alive while nothing is said."""

from faults.caller import Heard, asks
from faults.table import LATE_S, TEXT

HEADERS_S = 0.3
SLACK_S = 0.35


@asks("headers")
def test_headers_leave_in_time(heard: Heard) -> None:
    """After headers_after_s the headers and the role go out, although nothing was said; the words follow."""
    heard.is_whole()
    assert HEADERS_S - 0.05 < heard.headers_s < HEADERS_S + SLACK_S
    assert "role" in heard.choices[0][1]["delta"]
    assert heard.choices[0][0] < HEADERS_S + SLACK_S
    assert heard.text == TEXT


@asks("headers-fail")
def test_failing_after_the_headers(heard: Heard) -> None:
    """What fails after the headers went out is an error event, and there is no clean end."""
    heard.is_broken_off()
    assert heard.status == 200
    assert heard.error is not None
    assert heard.error["code"] == "provider_timeout"


@asks("headers-fail", stream=[False])
def test_a_whole_answer_waits_for_its_status(heard: Heard) -> None:
    """headers_after_s is for streams alone."""
    assert heard.status == 504


@asks("heartbeat")
def test_heartbeats(heard: Heard) -> None:
    """Once the headers are out, an empty piece comes every heartbeat_s until the words do, and changes nothing."""
    heard.is_whole()
    assert heard.text == TEXT
    beats = [at for at, text in heard.pieces if not text]
    assert 4 <= len(beats) <= 9
    assert max(beats) < heard.first_word_s


@asks("heartbeat-early")
def test_no_heartbeat_before_the_headers(heard: Heard) -> None:
    """A heartbeat does not give the status away: it comes after the headers alone."""
    heard.is_whole()
    assert [text for _, text in heard.pieces if not text] == []
    assert heard.headers_s > LATE_S - 0.1


@asks("heartbeat-stall")
def test_a_heartbeat_is_no_word(heard: Heard) -> None:
    """Heartbeats in mid-answer keep the connection, not the target: after idle_s of silence the next one goes on."""
    heard.is_whole()
    assert heard.text == TEXT
    assert heard.took_s < 2
