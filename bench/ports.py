"""Ports on this machine."""

import random
import socket
import time

RANGE = range(20000, 30000)
"""Below the ports that outgoing connections are given, of which the load client needs thousands."""


def free_port() -> int:
    """Return a port that nobody listens on."""
    while True:
        port = random.choice(RANGE)
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) != 0:
                return port


def until_listening(port: int, seconds: float) -> None:
    """Wait until somebody does."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise TimeoutError(f"nobody listens on {port}") from None
            time.sleep(0.002)
        else:
            return
