"""The embedded model as a process of its own: it answers, it comes back, and it never outlives its server."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.providers.local.process import LocalModel
from app.providers.local.supervise import next_delay_s

ROOT = Path(__file__).resolve().parents[3]
SAY_HELLO = {"model": "any", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}
GONE_WITHIN_S = 10.0
READY_WITHIN_S = 40.0

STARTER = """
import os, sys, time
from app.providers.local.process import LocalModel
model = LocalModel()
model.start()
child = os.fork() if "fork" in sys.argv else 0
if child or "fork" not in sys.argv:
    print(model.port, child, flush=True)
time.sleep(600)
"""

WSGI_APP = """
import os
from app.providers.local.process import LocalModel

model = LocalModel()
model.start()

def app(environ, start_response):
    model.ensure()
    ready = model.wait_ready(20)
    body = f"{model.port} {ready} {os.getppid()}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""

GUNICORN_CONF = """
from gevent import monkey
monkey.patch_all()
preload_app = True
worker_class = "gevent"
workers = 2
graceful_timeout = 5
control_socket_disable = True
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[LocalModel]:
    """A model that no test ends."""
    model = LocalModel()
    model.start()
    assert model.wait_ready(READY_WITHIN_S)
    yield model
    model.stop()


@pytest.fixture
def model() -> Iterator[LocalModel]:
    """A model of the test's own."""
    model = LocalModel()
    model.start()
    assert model.wait_ready(READY_WITHIN_S)
    yield model
    model.stop()


def pids(port: int) -> dict[str, int]:
    """The living processes of the model on `port`, by name: "serve" and "supervise". Zombies have ended."""
    found: dict[str, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode().split("\0")
            zombie = ") Z " in (entry / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for name in ("serve", "supervise"):
            if f"app.providers.local.{name}" in words and str(port) in words and not zombie:
                assert name not in found, f"two of {name}"
                found[name] = int(entry.name)
    return found


def eventually(condition: Callable[[], bool], timeout_s: float = GONE_WITHIN_S) -> bool:
    """Whether `condition` comes true within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def post(model: LocalModel, body: dict[str, Any], key: str | None = None) -> tuple[int, str]:
    """A chat completion: status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", model.port, timeout=30)
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def answers(model: LocalModel) -> bool:
    """Whether the model answers with words."""
    status, body = post(model, SAY_HELLO, model.api_key)
    return status == 200 and bool(json.loads(body)["choices"][0]["message"]["content"].strip())


def start_script(*arguments: str) -> tuple["subprocess.Popen[str]", int, int]:
    """A process that starts a model and sleeps, the model's port, and the process's forked child (0: none)."""
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, *arguments], stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT)}
    )
    assert starter.stdout is not None
    port, child = map(int, starter.stdout.readline().split())
    starter.stdout.close()
    assert eventually(lambda: pids(port).keys() == {"serve", "supervise"})
    return starter, port, child


def test_it_is_installed_here() -> None:
    """The packages are found without being imported."""
    code = (
        "import sys; from app.providers.local.process import LocalModel;"
        "print(LocalModel.installed(), 'xllamacpp' in sys.modules)"
    )
    output = subprocess.check_output([sys.executable, "-c", code], text=True, env={"PYTHONPATH": str(ROOT)})
    assert output.split() == ["True", "False"]


def test_it_answers_with_words(shared: LocalModel) -> None:
    """A chat completion without streaming has words in it."""
    assert shared.url == f"http://127.0.0.1:{shared.port}/v1"
    assert answers(shared)


def test_it_streams_words(shared: LocalModel) -> None:
    """A streamed chat completion comes as OpenAI's events, with words, to the very end."""
    status, body = post(shared, {**SAY_HELLO, "stream": True}, shared.api_key)
    events = [line.removeprefix("data: ") for line in body.splitlines() if line.startswith("data: ")]
    assert status == 200
    assert events[-1] == "[DONE]"
    choices = [choice for event in events[:-1] for choice in json.loads(event)["choices"]]
    assert "".join(choice["delta"].get("content") or "" for choice in choices).strip()


@pytest.mark.parametrize("key", [None, "wrong"])
def test_it_wants_its_key(shared: LocalModel, key: str | None) -> None:
    """Another user of the machine, who does not know the key, is refused."""
    assert post(shared, SAY_HELLO, key)[0] == 401


def test_its_key_is_in_no_command_line(shared: LocalModel) -> None:
    """The key is told by the environment, never where `ps` shows it."""
    for pid in pids(shared.port).values():
        assert shared.api_key.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_it_is_told_no_other_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vendors' keys in the server's environment do not reach the model's processes."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-server")
    model = LocalModel()
    model.start()
    try:
        assert eventually(lambda: "serve" in pids(model.port))
        for pid in pids(model.port).values():
            assert b"sk-of-the-server" not in Path(f"/proc/{pid}/environ").read_bytes()
    finally:
        model.stop()


def test_each_call_may_be_long(shared: LocalModel) -> None:
    """Each of the two slots has room for a voice agent's prompt."""
    connection = http.client.HTTPConnection("127.0.0.1", shared.port, timeout=10)
    connection.request("GET", "/props", headers={"Authorization": f"Bearer {shared.api_key}"})
    props = json.loads(connection.getresponse().read())
    connection.close()
    assert props["total_slots"] == 2
    assert props["default_generation_settings"]["n_ctx"] == 4096


def test_a_killed_model_comes_back(model: LocalModel) -> None:
    """When the model is killed, it is started again and answers as before."""
    killed = pids(model.port)["serve"]
    os.kill(killed, signal.SIGKILL)
    assert eventually(lambda: pids(model.port).get("serve", killed) != killed)
    assert model.wait_ready(READY_WITHIN_S)
    assert answers(model)


def test_a_killed_supervisor_comes_back(model: LocalModel) -> None:
    """When the supervisor is killed its model ends too, and `ensure` brings one of each back, same port, same key."""
    before = pids(model.port)
    os.kill(before["supervise"], signal.SIGKILL)
    assert eventually(lambda: not pids(model.port))
    assert not model.ready()
    callers = [threading.Thread(target=model.ensure) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert model.wait_ready(READY_WITHIN_S)
    assert answers(model)
    after = pids(model.port)
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())


def test_forked_workers_bring_back_one_supervisor(model: LocalModel) -> None:
    """When several workers notice at once that the supervisor is gone, one is started; it outlives its worker."""
    os.kill(pids(model.port)["supervise"], signal.SIGKILL)
    assert eventually(lambda: not pids(model.port))
    workers = []
    for _ in range(4):
        worker = os.fork()
        if not worker:
            model.ensure()
            os._exit(0)
        workers.append(worker)
    for worker in workers:
        os.waitpid(worker, 0)
    assert model.wait_ready(READY_WITHIN_S)
    assert pids(model.port).keys() == {"serve", "supervise"}


def test_ensure_leaves_a_living_supervisor_alone(model: LocalModel) -> None:
    """While all is well, `ensure` changes nothing."""
    before = pids(model.port)
    model.ensure()
    assert pids(model.port) == before


def test_stop_ends_both() -> None:
    """After `stop` neither process is left, nor the lock file, and `ensure` revives nothing."""
    model = LocalModel()
    model.start()
    assert model.wait_ready(READY_WITHIN_S)
    lock_path = model._lock_path
    assert lock_path.exists()
    model.stop()
    assert not pids(model.port)
    assert not lock_path.exists()
    model.ensure()
    model.stop()
    assert not pids(model.port)


def test_stop_right_after_start() -> None:
    """`stop` ends a model that is still starting."""
    model = LocalModel()
    model.start()
    model.stop()
    assert not pids(model.port)
    assert not model.ready()


def test_nobody_else_gets_the_port(model: LocalModel) -> None:
    """A second model on the same port is refused; and nobody can take the port, not even while the model restarts."""
    with pytest.raises(OSError, match="in use"):
        LocalModel(model.port).start()
    os.kill(pids(model.port)["supervise"], signal.SIGKILL)
    assert eventually(lambda: not pids(model.port))
    with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
        stranger.bind(("127.0.0.1", model.port))


def test_it_dies_with_a_killed_starter() -> None:
    """When the process that started it is killed by SIGKILL, the model and its supervisor end, and the file goes."""
    starter, port, _ = start_script()
    lock_path = Path(Path(f"/proc/{pids(port)['supervise']}/cmdline").read_text().split("\0")[-2])
    assert lock_path.exists()
    starter.kill()
    starter.wait()
    assert eventually(lambda: not pids(port))
    assert eventually(lambda: not lock_path.exists())


def test_it_lives_as_long_as_a_forked_child() -> None:
    """While a forked worker lives on, the model does; when the last one has gone, it ends."""
    starter, port, child = start_script("fork")
    before = pids(port)
    starter.kill()
    starter.wait()
    assert not eventually(lambda: pids(port) != before, timeout_s=1.0)
    os.kill(child, signal.SIGKILL)
    assert eventually(lambda: not pids(port))


def test_the_delay_grows_to_five_seconds() -> None:
    """A model that keeps dying is restarted at once, then ever more slowly, at least every five seconds."""
    delays = [0.0]
    for _ in range(7):
        delays.append(next_delay_s(delays[-1]))
    assert delays == [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_the_log_goes_where_it_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GLOTTIS_LOCAL_LOG names a file that tells of the model's starts and ends, and of nothing that was said."""
    monkeypatch.setenv("GLOTTIS_LOCAL_LOG", str(tmp_path / "model.log"))
    model = LocalModel()
    model.start()
    try:
        assert model.wait_ready(READY_WITHIN_S)
        post(model, {**SAY_HELLO, "messages": [{"role": "user", "content": "Xylophone?"}]}, model.api_key)
    finally:
        model.stop()
    log = (tmp_path / "model.log").read_text()
    assert "the model runs as process" in log
    assert "the model ended with -9" in log
    assert "Xylophone" not in log


class Gunicorn:
    """A real gunicorn, monkey-patched and preloaded, whose application starts the model."""

    def __init__(self, directory: Path) -> None:
        (directory / "callee.py").write_text(WSGI_APP)
        (directory / "conf.py").write_text(GUNICORN_CONF)
        self.log_path = directory / "log"
        self.socket_path = directory / "socket"
        command = [sys.executable, "-m", "gunicorn", "-c", "conf.py", "-b", f"unix:{self.socket_path}", "callee:app"]
        with self.log_path.open("w") as log:
            self.process = subprocess.Popen(
                [*command, "--log-level", "debug"],
                cwd=directory,
                env={"PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def get(self) -> tuple[int, str, int]:
        """One request: the model's port, whether it was ready in the worker, and the master's process."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(30)
            sock.connect(str(self.socket_path))
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: sock.recv(4096), b""))
        port, ready, master = answer.partition(b"\r\n\r\n")[2].decode().split()
        return int(port), ready, int(master)

    def log(self) -> str:
        return self.log_path.read_text()

    def members(self) -> list[str]:
        """The processes left in gunicorn's session."""
        listing = subprocess.run(
            ["ps", "-o", "pid=,stat=", "-s", str(self.process.pid)], capture_output=True, text=True
        )
        return [line for line in listing.stdout.splitlines() if " Z" not in line]


@pytest.fixture
def gunicorn(tmp_path: Path) -> Iterator[Gunicorn]:
    """A gunicorn that is booting."""
    server = Gunicorn(tmp_path)
    yield server
    if server.process.poll() is None:
        os.killpg(server.process.pid, signal.SIGKILL)
    server.process.wait()


@pytest.mark.parametrize("ending", ["ctrl-c", "int", "term"])
def test_gunicorn_starts_and_ends_it(gunicorn: Gunicorn, ending: str) -> None:
    """Started in gunicorn's preloaded master, it answers in workers, and ends cleanly and wholly with gunicorn."""
    assert eventually(lambda: gunicorn.log().count("Booting worker") == 2, READY_WITHIN_S), gunicorn.log()
    port, ready, master = gunicorn.get()
    assert ready == "True"
    assert master == gunicorn.process.pid
    if ending == "ctrl-c":
        os.killpg(gunicorn.process.pid, signal.SIGINT)
    else:
        gunicorn.process.send_signal(signal.SIGINT if ending == "int" else signal.SIGTERM)
    assert gunicorn.process.wait(15) == 0
    assert eventually(lambda: not pids(port))
    assert not gunicorn.members()
    assert '"level":"error"' not in gunicorn.log()
    # Ctrl-C reaches the workers twice, as SIGINT and by the master as SIGQUIT, at which gevent prints a SystemExit,
    # with or without a model.
    assert ending == "ctrl-c" or "Traceback" not in gunicorn.log()


def test_gunicorn_takes_a_killed_supervisor_calmly(gunicorn: Gunicorn) -> None:
    """When the supervisor is killed, the arbiter reaps it without an error and a worker's `ensure` brings it back."""
    assert eventually(lambda: gunicorn.log().count("Booting worker") == 2, READY_WITHIN_S), gunicorn.log()
    port, _, _ = gunicorn.get()
    killed = pids(port)["supervise"]
    os.kill(killed, signal.SIGKILL)
    assert eventually(lambda: not Path(f"/proc/{killed}").exists()), "a zombie is left"
    assert gunicorn.get()[:2] == (port, "True")
    assert pids(port).keys() == {"serve", "supervise"}
    gunicorn.process.terminate()
    assert gunicorn.process.wait(15) == 0
    assert eventually(lambda: not pids(port))
    assert '"level":"error"' not in gunicorn.log()
