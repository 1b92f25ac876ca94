"""The model's keeper: `python -m app.providers.local.supervise PORT LOCK_FILE` restarts the model whenever it dies.

A process of its own, because the model belongs to the gunicorn master and all its workers together: none of them could
wait for it alone. It ends, and the model with it, when standard input reaches its end, which is when the last process
that holds the other side has gone, or on SIGTERM. It was born with the lock file locked and keeps it so for its life;
once it has ended on purpose, the file is gone. Standard library only, to stay small.
"""

import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

LIFELINE_FD = 0
LOCK_FD = 3

FIRST_DELAY_S = 0.25
MAX_DELAY_S = 5.0
PROVEN_AFTER_S = 30.0

log = logging.getLogger("glottis.local")


def main() -> None:
    """Keep the model running until the lifeline is cut or SIGTERM comes."""
    port, lock_path = sys.argv[1], Path(sys.argv[2])
    # A worker's listening sockets are inheritable: held here, their port would outlive the server.
    os.closerange(LOCK_FD + 1, os.sysconf("SC_OPEN_MAX"))
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    # Ctrl-C is the server's to decide upon: it may still be finishing calls.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        keep_running([sys.executable, "-P", "-m", "app.providers.local.serve", port])
    finally:
        lock_path.unlink(missing_ok=True)


def keep_running(command: list[str]) -> None:
    """Run `command` again and again, with a growing delay while it keeps dying; returns when the lifeline is cut."""
    delay_s = 0.0
    while True:
        started = time.monotonic()
        if not run(command):
            return
        if time.monotonic() - started >= PROVEN_AFTER_S:
            delay_s = 0.0
        log.info("starting it again in %.2f s", delay_s)
        if _first_to_end([LIFELINE_FD], delay_s) is not None:
            return
        delay_s = next_delay_s(delay_s)


def next_delay_s(delay_s: float) -> float:
    """The delay before the restart after one that waited `delay_s`."""
    return min(max(2 * delay_s, FIRST_DELAY_S), MAX_DELAY_S)


def run(command: list[str]) -> bool:
    """Run `command` once; True when it ended by itself, False when the lifeline was cut. Either way it has ended."""
    # A pair of sockets shows each side when the other has gone: no signal handler, no polling.
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            model = subprocess.Popen(command, stdin=theirs.fileno())  # noqa: S603
        log.info("the model runs as process %d", model.pid)
        try:
            return _first_to_end([LIFELINE_FD, ours.fileno()], None) != LIFELINE_FD
        finally:
            model.kill()
            log.info("the model ended with %d", model.wait())


def _first_to_end(fds: list[int], timeout_s: float | None) -> int | None:
    # Nothing is ever written on these, so the one that can be read has reached its end.
    readable, _, _ = select.select(fds, [], [], timeout_s)
    return readable[0] if readable else None


if __name__ == "__main__":
    main()
