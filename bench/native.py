"""The two programs in C: compile them, start the scripted upstream, run the load client.

They are in C because they must be on time with 2000 streams on the core that the gateway leaves them.
"""

import json
import os
import shutil
import subprocess
import tempfile
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.ports import free_port, until_listening

HERE = Path(__file__).parent
PROGRAMS = {"upstream": ("upstream.c", "speech.c"), "load": ("load.c", "answer.c")}


def build(folder: Path) -> None:
    """Compile both into the folder."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        raise SystemExit("bench: there is no C compiler (cc, gcc or clang), and the load client is written in C.")
    for name, sources in PROGRAMS.items():
        files = [str(HERE / source) for source in sources]
        subprocess.run([*compiler.split(), "-O2", "-Wall", "-o", str(folder / name), *files], check=True)


class Upstream:
    """The scripted upstream, running."""

    def __init__(self, programs: Path) -> None:
        self.port = free_port()
        self.process = subprocess.Popen([str(programs / "upstream"), str(self.port)])
        until_listening(self.port, 5)

    def stats(self) -> dict[str, Any]:
        """How many calls are open, and when callers left (monotonic microseconds) since this was asked last."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/stats", timeout=5) as response:
            return json.load(response)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class Load:
    """The load client."""

    def __init__(self, programs: Path, folder: Path) -> None:
        """Take where the programs are, and a folder for the requests."""
        self._program = str(programs / "load")
        self._folder = folder

    def run(self, *targets: tuple[int, bytes], **values: int) -> dict[str, Any]:
        """Send the targets' requests to their ports; returns what came of it, as load.c tells it."""
        with self._started(targets, values) as process:
            return self._result(process)

    def hold(self, *targets: tuple[int, bytes], **values: int) -> "Held":
        """Open streams, and leave them open until the result is closed."""
        process = self._started(targets, {**values, "hold": 1})
        line = process.stdout.readline() if process.stdout else b""
        return Held(process, json.loads(line or "{}").get("open", 0))

    def _started(self, targets: tuple[tuple[int, bytes], ...], values: dict[str, int]) -> "subprocess.Popen[bytes]":
        files = []
        for _, request in targets:
            handle, name = tempfile.mkstemp(dir=self._folder)
            with os.fdopen(handle, "wb") as file:
                file.write(request)
            files.append(name)
        command = [self._program, f"requests={','.join(files)}", f"ports={','.join(str(port) for port, _ in targets)}"]
        command += [f"{name}={value}" for name, value in values.items()]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def _result(self, process: "subprocess.Popen[bytes]") -> dict[str, Any]:
        out, complaints = process.communicate()
        if process.returncode:
            raise RuntimeError(f"the load client ended with {process.returncode}")
        result: dict[str, Any] = json.loads(out)
        result["complaint"] = complaints.decode(errors="replace").split("\n")[0][:200]
        return result


class Held:
    """Streams that stay open until this is closed."""

    def __init__(self, process: "subprocess.Popen[bytes]", streams: int) -> None:
        self._process = process
        self.streams = streams

    def close(self) -> None:
        """Hang up on all of them at once."""
        with suppress(OSError):
            self._process.communicate(b"", timeout=10)
