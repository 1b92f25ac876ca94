"""The embedded model as the server sees it: started before the fork, shared by every worker, gone when they have gone.

The supervisor is started by posix_spawn and never awaited: `subprocess` would register with gevent's child watchers,
whose SIGCHLD handler and that of gunicorn's arbiter displace each other. The arbiter reaps it as a child unknown to it.
"""

import contextlib
import errno
import fcntl
import http.client
import os
import secrets
import signal
import socket
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from app.providers.local.serve import KEY_VARIABLE, MODEL_ID, MODEL_PACKAGE, RUNTIME_PACKAGE
from app.providers.local.supervise import LIFELINE_FD, LOCK_FD

__all__ = ["MODEL_ID", "LocalModel"]

LOG_VARIABLE = "GLOTTIS_LOCAL_LOG"
HOST = "127.0.0.1"
HEALTH_TIMEOUT_S = 1.0
POLL_S = 0.05
STOP_TIMEOUT_S = 5.0

ROOT = Path(__file__).resolve().parents[3]
# What a Python needs to start. The vendors' keys in this server's environment are none of the model's business.
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH")


class LocalModel:
    """The embedded model and its supervisor. Call `start` before gunicorn forks and keep the object.

    Every forked process that inherits it holds the model alive, and may use every method.
    """

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.api_key = secrets.token_urlsafe(32)
        self._lifeline: tuple[int, int] | None = None
        self._port_fd = -1
        self._lock_path = Path()
        self._child_pid = 0

    @staticmethod
    def installed() -> bool:
        """Whether the packages that it needs are there; imports neither."""
        return all(find_spec(package) is not None for package in (RUNTIME_PACKAGE, MODEL_PACKAGE))

    @property
    def url(self) -> str:
        """The base URL for an OpenAI client; with port 0 it is known once `start` has been called."""
        return f"http://{HOST}:{self.port}/v1"

    def start(self) -> None:
        """Start the model and its supervisor, without waiting until it is ready; does nothing when already started.

        Raises OSError when the port is taken, or the file that GLOTTIS_LOCAL_LOG names cannot be written.
        """
        if self._lifeline is not None:
            return
        self._reserve_port()
        # The reading end is kept as well, so that any worker can hand the same lifeline to a new supervisor.
        self._lifeline = os.pipe()
        lock_fd, lock_name = tempfile.mkstemp(prefix="glottis-local-", suffix=".lock")
        os.close(lock_fd)
        self._lock_path = Path(lock_name)
        try:
            self.ensure()
        except OSError:
            self._let_go()
            raise

    def ensure(self) -> None:
        """Start a new supervisor, on the same port with the same key, when the last one was killed.

        Takes microseconds when there is nothing to do, and is safe in many processes at once. Never revives a model
        that was stopped, in whichever process. Raises OSError when no process can be started.
        """
        lock_fd = self._open_lock()
        if lock_fd is None:
            return
        try:
            # The lock goes over to the new supervisor together with this open file: there is no moment between the
            # two at which another worker could find it free and start a second one.
            if _try_lock(lock_fd):
                self._reap(os.WNOHANG)
                self._spawn(lock_fd)
        finally:
            os.close(lock_fd)

    def ready(self) -> bool:
        """Whether the model is loaded and answers; takes at most about a second."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=HEALTH_TIMEOUT_S)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until the model answers, at most `timeout_s`; whether it does."""
        deadline = time.monotonic() + timeout_s
        while not self.ready():
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_S)
        return True

    def stop(self) -> None:
        """End the model and its supervisor, for every process that shares them; returns when both have ended."""
        lock_fd = self._open_lock()
        if lock_fd is not None:
            try:
                self._end_supervisor(lock_fd)
            finally:
                os.close(lock_fd)
        self._let_go()

    def _reserve_port(self) -> None:
        # Bound but not listening, for as long as this server lives: nobody else can be given the port, nor pose as the
        # model while it restarts. SO_REUSEPORT lets the model in, which has the same user; but it would as well let in
        # a second server's model, and the two would be sent each other's calls.
        if self.port and _listening(self.port):
            raise OSError(errno.EADDRINUSE, f"Port {self.port} for the embedded model is in use")
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((HOST, self.port))
            self.port = sock.getsockname()[1]
            self._port_fd = sock.detach()

    def _open_lock(self) -> int | None:
        if self._lifeline is None:
            return None
        try:
            return os.open(self._lock_path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:  # the supervisor removed it when it was stopped
            return None

    def _spawn(self, lock_fd: int) -> None:
        assert self._lifeline is not None  # noqa: S101
        log_path = os.environ.get(LOG_VARIABLE) or os.devnull
        self._child_pid = os.posix_spawn(
            sys.executable,
            # -P: a module named app in the current directory must not stand in for this one.
            [sys.executable, "-P", "-m", "app.providers.local.supervise", str(self.port), str(self._lock_path)],
            self._environment(),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, self._lifeline[0], LIFELINE_FD),
                (os.POSIX_SPAWN_DUP2, lock_fd, LOCK_FD),
                (os.POSIX_SPAWN_OPEN, 1, log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,  # signals to gunicorn's group, such as Ctrl-C, must not end the model before the calls
            setsigmask=[],
            setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP],
        )
        # One write over the last one, never an empty file in between: `stop` may be reading it elsewhere.
        os.pwrite(lock_fd, f"{self._child_pid:<20}".encode(), 0)

    def _environment(self) -> dict[str, str]:
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        paths = [str(ROOT), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        environment[KEY_VARIABLE] = self.api_key
        return environment

    def _end_supervisor(self, lock_fd: int) -> None:
        if not _wait_lock(lock_fd, 0.0):
            pid = int(os.read(lock_fd, 20))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
                if not _wait_lock(lock_fd, STOP_TIMEOUT_S):
                    os.kill(pid, signal.SIGKILL)
                    _wait_lock(lock_fd, STOP_TIMEOUT_S)
        self._reap(0)

    def _reap(self, options: int) -> None:
        # Only the process that spawned the supervisor can, and there gunicorn's arbiter may have been quicker.
        pid, self._child_pid = self._child_pid, 0
        if pid:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, options)

    def _let_go(self) -> None:
        if self._lifeline is None:
            return
        for fd in (*self._lifeline, self._port_fd):
            os.close(fd)
        self._lifeline = None
        self._lock_path.unlink(missing_ok=True)


def _listening(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        return sock.connect_ex((HOST, port)) == 0


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_lock(fd: int, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not _try_lock(fd):
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True
