"""Streams that are read in step: on a beat all that has come is read, and nobody waits for a stream that is silent."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gevent
import pytest
from gevent import socket

from app.providers.beat import MANY, Beat, beat_of

BEAT_S = 0.02


class Stream:
    """A socket that is read on a beat, once, by a greenlet of its own."""

    def __init__(self, beat: Beat) -> None:
        self._beat = beat
        self.near, self.far = socket.socketpair()
        self.fileno: int = self.near.fileno()
        beat.join(self.fileno)
        self.reader = gevent.spawn(self._read)

    def _read(self) -> bytes:
        assert self._beat.wait(self.fileno)
        return bytes(self.near.recv(100))

    def close(self) -> None:
        """Read it no more."""
        self.reader.kill()
        self._beat.leave(self.fileno)
        self.near.close()
        self.far.close()


@contextmanager
def streams(beat: Beat, count: int = MANY) -> Iterator[list[Stream]]:
    """So many streams, each waiting for its beat."""
    all_of_them = [Stream(beat) for _ in range(count)]
    gevent.sleep(0)
    try:
        yield all_of_them
    finally:
        for stream in all_of_them:
            stream.close()


@pytest.fixture
def beat() -> Beat:
    """A beat of a test's own."""
    return Beat(BEAT_S)


def test_what_came_is_read_together(beat: Beat) -> None:
    """What came since the last beat is there at the next, however many pieces it was."""
    with streams(beat) as some:
        for stream in some:
            stream.far.sendall(b"one ")
            stream.far.sendall(b"two")
        assert [stream.reader.get(timeout=5) for stream in some] == [b"one two"] * MANY


def test_a_silent_stream_waits_alone(beat: Beat) -> None:
    """Who has nothing to read is not woken, and holds nobody up; when it has, it is."""
    with streams(beat) as (silent, *others):
        for stream in others:
            stream.far.sendall(b"a")
        assert [stream.reader.get(timeout=5) for stream in others] == [b"a"] * (MANY - 1)
        assert not silent.reader.ready()
        silent.far.sendall(b"b")
        assert silent.reader.get(timeout=5) == b"b"


def test_the_end_of_a_stream_is_something_to_read(beat: Beat) -> None:
    """A connection that closes wakes its reader."""
    with streams(beat) as (ending, *_):
        ending.far.close()
        assert ending.reader.get(timeout=5) == b""


def test_who_is_ended_while_waiting(beat: Beat) -> None:
    """A reader that is ended leaves at once, and the others are read as before."""
    with streams(beat) as (ended, *others):
        ended.far.sendall(b"unheard")
        ended.reader.kill(timeout=5)
        assert ended.reader.ready()
        for stream in others:
            stream.far.sendall(b"a")
        assert [stream.reader.get(timeout=5) for stream in others] == [b"a"] * (MANY - 1)


def test_a_reader_that_ends_another(beat: Beat) -> None:
    """Within one beat, what a reader does to another that was to be woken after it is heeded."""
    with streams(beat) as (first, *others):
        first.reader.link(lambda _: gevent.killall([stream.reader for stream in others], block=False))
        for stream in (first, *others):
            stream.far.sendall(b"a")
        assert first.reader.get(timeout=5) == b"a"
        gevent.joinall([stream.reader for stream in others], timeout=5)
        assert all(stream.reader.ready() for stream in others)


def test_few_streams_are_read_as_they_come(beat: Beat) -> None:
    """Where there is little to do nobody waits for a beat."""
    near, far = socket.socketpair()
    with near, far:
        beat.join(near.fileno())
        assert not beat.wait(near.fileno())
        beat.leave(near.fileno())


def test_a_beat_stops_and_begins_again(beat: Beat) -> None:
    """Without readers nothing beats; the next ones are woken all the same."""
    for _ in range(2):
        with streams(beat) as some:
            for stream in some:
                stream.far.sendall(b"a")
            assert [stream.reader.get(timeout=5) for stream in some] == [b"a"] * MANY
        gevent.sleep(2 * BEAT_S)
        assert beat.is_still


def test_streams_of_a_thread_share_a_beat() -> None:
    """Those that want the same beat have the same; 0 is none."""
    assert beat_of(BEAT_S) is beat_of(BEAT_S)
    assert beat_of(BEAT_S) is not beat_of(2 * BEAT_S)
    assert beat_of(0.0) is None


def test_others_have_a_turn_between_two_beats(beat: Beat) -> None:
    """Where to read all streams takes longer than a beat, whoever else has something to do still has a turn."""
    turns = 0
    seen: list[list[int]] = [[], []]

    def read_twice(fileno: int, near: socket.socket) -> None:
        for numbers in seen:
            beat.wait(fileno)
            near.recv(1)
            numbers.append(turns)
            time.sleep(BEAT_S / 4)  # the whole process, as work does

    def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            gevent.sleep(0)

    with streams(beat) as some:
        other = gevent.spawn(take_turns)
        for stream in some:
            stream.reader.kill(timeout=5)
            stream.far.sendall(b"ab")
        readers = [gevent.spawn(read_twice, stream.fileno, stream.near) for stream in some]
        gevent.joinall(readers, timeout=10, raise_error=True)
        other.kill()
    first, second = seen
    assert len(set(first)) == len(set(second)) == 1  # all in a row
    assert second[0] > first[0]


def test_what_cannot_be_watched(beat: Beat) -> None:
    """It is refused, and is no member."""
    with Path(__file__).open() as file, streams(beat, MANY - 1):
        with pytest.raises(PermissionError):
            beat.join(file.fileno())
        assert not beat.wait(file.fileno())
