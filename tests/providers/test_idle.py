"""Silence is bounded: a socket that waits too long is woken, and no other one is touched."""

import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from app.providers import idle
from app.providers.idle import TICK_S, IdleGuard, clock

SOON_S = 2.0


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Connect two sockets."""
    near, far = socket.socketpair()
    far.settimeout(SOON_S)
    with near, far:
        yield near, far


def is_open(near: socket.socket, far: socket.socket) -> bool:
    """Whether the near end still speaks."""
    try:
        near.sendall(b"!")
    except OSError:
        return False
    return far.recv(1) == b"!"


@pytest.mark.parametrize(("limit_s", "ticks"), [(0.3, 3), (1.0, 10), (0.0, 1), (0.01, 1), (2 * TICK_S, 2)])
def test_it_waits_as_long_as_asked(ends: tuple[socket.socket, socket.socket], limit_s: float, ticks: int) -> None:
    """Silence up to the limit is borne, at least one tick long; then the socket is shut down."""
    guard = IdleGuard(ends[0], limit_s)
    guard.wait()
    for _ in range(ticks):
        guard.tick()
        assert not guard.expired
    assert is_open(*ends)
    guard.tick()
    assert guard.expired
    assert not is_open(*ends)
    assert ends[1].recv(1) == b""


def test_it_counts_only_while_somebody_waits(ends: tuple[socket.socket, socket.socket]) -> None:
    """The time between two reads, in which the caller is written to, is no silence of the upstream's."""
    guard = IdleGuard(ends[0], 0.2)
    for _ in range(50):
        guard.tick()
        guard.wait()
        guard.tick()
        guard.waiting = False
    assert not guard.expired
    assert is_open(*ends)


def test_a_closed_socket_is_no_trouble(ends: tuple[socket.socket, socket.socket]) -> None:
    """A socket that is closed while its guard still counts upsets nobody."""
    guard = IdleGuard(ends[0], 0.1)
    guard.wait()
    ends[0].close()
    for _ in range(3):
        guard.tick()
    assert guard.expired


def test_the_clock_wakes_who_waits(ends: tuple[socket.socket, socket.socket]) -> None:
    """A thread that is blocked in a read comes back when the time is over, within a tick or so."""
    guard = IdleGuard(ends[0], 0.2)
    clock.add(guard)
    started = time.monotonic()
    guard.wait()
    assert ends[0].recv(1) == b""
    assert 0.2 <= time.monotonic() - started < SOON_S
    assert guard.expired
    clock.discard(guard)
    clock.discard(guard)


def test_one_thread_for_all() -> None:
    """However many sockets wait, one thread counts; and when none is left it sleeps until there is one again."""
    for _ in range(3):
        pairs = [socket.socketpair() for _ in range(20)]
        guards = [IdleGuard(near, 0.1) for near, _ in pairs]
        for guard in guards:
            clock.add(guard)
            guard.wait()
        for (near, far), guard in zip(pairs, guards, strict=True):
            assert near.recv(1) == b""
            clock.discard(guard)
            near.close()
            far.close()
        # The clock finds nobody to count for, and is woken by the next round.
        threading.Event().wait(2 * TICK_S)
    assert [thread.name for thread in threading.enumerate()].count("idle-clock") == 1


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_has_a_clock_of_its_own() -> None:
    """A worker that is forked after the clock began to run bounds silence too."""
    near, far = socket.socketpair()
    first = IdleGuard(near, 60)
    clock.add(first)
    child = os.fork()
    if child == 0:
        guard = IdleGuard(near, 0.1)
        clock.add(guard)
        guard.wait()
        woken = near.recv(1) == b"" and guard.expired and not idle.clock._guards - {guard}
        os._exit(0 if woken else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    clock.discard(first)
    near.close()
    far.close()
