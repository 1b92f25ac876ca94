"""The embedded model behind the running server: it comes back when it dies, and goes when the server goes."""

import os
import signal
from pathlib import Path

import pytest
from api.client import chat
from gateway import Gateway, free_port


def processes(port: int) -> list[int]:
    """Return the ids of the model's process and its supervisor, by the port on their command lines."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"app.providers.local.serve" in words and str(port).encode() in words:
                found.append(int(entry.name))
    return found


@pytest.mark.timeout(180)
def test_a_caller_does_not_notice_that_the_model_died() -> None:
    """With the model killed between two turns the second is answered too, and the list of models names it."""
    port = free_port()
    with Gateway({"LOCAL_PORT": str(port)}) as gateway:
        assert chat(gateway, "any", max_tokens=5).status == 200
        [pid] = processes(port)
        os.kill(pid, signal.SIGKILL)
        reply = chat(gateway, "any", max_tokens=5, stream=True)
        assert reply.status == 200, gateway.output
        assert reply.text
        assert processes(port) != [pid]
    assert not processes(port)
