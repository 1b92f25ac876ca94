"""The decoder of server-sent events: the same payloads however the bytes are written and split."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.providers.sse import BOM, Decoder


def decoded(data: bytes, cuts: list[int] | None = None) -> list[bytes]:
    """Decode the bytes, fed in pieces cut at these places."""
    decoder = Decoder()
    places = [0, *sorted(min(cut, len(data)) for cut in cuts or []), len(data)]
    payloads = [payload for start, end in pairwise(places) for payload in decoder.feed(data[start:end])]
    return payloads + decoder.flush()


@pytest.mark.parametrize(
    ("stream", "payloads"),
    [
        (b"", []),
        (b"data: a\n\n", [b"a"]),
        (b"data:a\n\ndata:  b\n\n", [b"a", b" b"]),
        (b"data: a\n\n\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"data: a\r\n\ndata: b\n\r\n", [b"a", b"b"]),
        (b"event: ping\ndata: a\nid: 7\nretry: 10\n\n", [b"a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b": comment\n\n:\n\ndata: a\n\n: OPENROUTER PROCESSING\n\n", [b"a"]),
        (b": comment\ndata: a\n: another\n\n", [b"a"]),
        (b"event: ping\n\n", []),
        (b"data\n\n", []),
        (b"data:\n\n", []),
        (b"data: \n\n", []),
        (b"database: a\n\n", []),
        (BOM + b"data: a\n\n", [b"a"]),
        (BOM, []),
        (b"data: " + BOM + b"\n\n", [BOM]),
        (b"data: a", [b"a"]),
        (b"data: a\n", [b"a"]),
        (b"data: a\r", [b"a"]),
        (b"data: a\r\n", [b"a"]),
        (b"data: a\n\ndata: b", [b"a", b"b"]),
        ("data: \u2028\u2029\x85\x0b\x0c\x1c\n\n".encode(), ["\u2028\u2029\x85\x0b\x0c\x1c".encode()]),
    ],
)
def test_streams(stream: bytes, payloads: list[bytes]) -> None:
    """What the standard says of line ends, comments, fields and the byte order mark, whole and byte by byte."""
    assert decoded(stream) == payloads
    assert decoded(stream, list(range(len(stream)))) == payloads


def test_an_event_is_given_as_soon_as_it_is_whole() -> None:
    """Nobody waits for the next packet to hear this one, whichever line ends the server writes."""
    for stream in (b"data: a\n\n", b"data: a\r\n\r\n"):
        assert Decoder().feed(stream) == [b"a"]


LINE = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20).map(lambda text: text.encode())
COMMENTS = st.lists(LINE.map(lambda line: b":" + line), max_size=2)


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """Write events in any way the standard allows; the bytes, and the payloads that they hold."""
    events = draw(st.lists(st.lists(LINE, min_size=1, max_size=3), max_size=6))
    written = [BOM if draw(st.booleans()) else b""]
    # A comment alone between two events, and a blank line more than needed, are allowed anywhere.
    for lines in events:
        end = draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
        fields = draw(st.sampled_from([[], [b"event: x"], [b"id: 1", b"retry: 5"]]))
        space = draw(st.sampled_from([b" ", b""]))
        data = [b"data:" + (space or (b" " if line.startswith(b" ") else b"")) + line for line in lines]
        written += [line + end for line in [*fields, *draw(COMMENTS), *data, *draw(COMMENTS)]] + [end]
        if draw(st.booleans()):
            written.append(end)
    stream = b"".join(written)
    if events and draw(st.booleans()):
        stream = stream.rstrip(b"\r\n")
    payloads = [b"\n".join(lines) for lines in events]
    return stream, [payload for payload in payloads if payload]


@given(streams(), st.lists(st.integers(0, 400), max_size=12))
def test_any_split_gives_the_same_payloads(stream: tuple[bytes, list[bytes]], cuts: list[int]) -> None:
    """However a stream is written and wherever its bytes are cut, its payloads come out whole and in order."""
    data, payloads = stream
    assert decoded(data, cuts) == decoded(data) == payloads


@given(st.lists(st.binary(max_size=30), max_size=8))
def test_no_bytes_upset_it(pieces: list[bytes]) -> None:
    """Noise gives payloads or nothing, the same ones however it is cut, and never an exception."""
    decoder = Decoder()
    payloads = [payload for piece in pieces for payload in decoder.feed(piece)] + decoder.flush()
    assert payloads == decoded(b"".join(pieces))
