"""How gunicorn serves Glottis, read by `gunicorn wsgi:app` in this folder; every line may be overridden on its command.

The figures and traps behind these values: docs/operations.md.
"""

import gevent
from gevent import monkey

monkey.patch_all()
# Or every greenlet would keep the stack of the one that spawned it, for debuggers: 2 us, and 0.9 KB of an open stream.
gevent.config.track_greenlet_tree = False

import atexit  # noqa: E402 (the patch comes before everything else)
import gc  # noqa: E402
import os  # noqa: E402
import shutil  # noqa: E402
import signal  # noqa: E402
import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402


def _whole(name, default):
    text = os.environ.get(name) or str(default)
    if not text.isdecimal():
        raise SystemExit(f"{name}: expected a whole number.")
    return int(text)


def _metrics_folder():
    """Return where the workers' metrics are added up: the operator's folder, or one of this master's own, in memory.

    This file is read again at SIGHUP, and a new master inherits the environment of the one before it (SIGUSR2).
    """
    named, own = os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""), f"glottis-metrics-{os.getpid()}-"
    if named and (own in named or "glottis-metrics-" not in named):
        Path(named).mkdir(parents=True, exist_ok=True)
        return Path(named)
    shm = "/dev/shm"  # noqa: S108 (what mkdtemp makes is nobody else's)
    folder = os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(
        prefix=own, dir=shm if os.access(shm, os.W_OK) else None
    )
    atexit.register(lambda master: os.getpid() == master and shutil.rmtree(folder, ignore_errors=True), os.getpid())
    return Path(folder)


METRICS_FOLDER = _metrics_folder()  # known before anything imports prometheus_client
ON_HEROKU = "DYNO" in os.environ

# A platform that sets PORT wants the server on every interface; on one's own machine nobody else need reach it.
bind = f"0.0.0.0:{os.environ['PORT']}" if "PORT" in os.environ else "127.0.0.1:8000"
workers = _whole("WEB_CONCURRENCY", 1)
worker_class = "app.api.worker.Worker"
worker_connections = 4096
preload_app = True
control_socket_disable = True

# How long a connection may wait for its next request. Heroku's router keeps idle ones for 90 s and must not find one
# closed. A request that has begun has less time: HEADER_TIMEOUT_S, BODY_TIMEOUT_S.
keepalive = 95 if ON_HEROKU else 20
timeout = 60

# From SIGTERM to SIGKILL, as the host has it: Heroku 30 s. Streams that are still open 5 s before it end with an error
# event (app/api/worker.py), and the workers are gone 2 s before it.
graceful_timeout = max(3, _whole("SHUTDOWN_S", 30) - 2)

# Of the headers that a proxy may set none means anything to gunicorn: it need not look who the client is (4 us).
forwarder_headers = ""
secure_scheme_headers = {}
forwarded_allow_ips = "*"

# Its own lines in the form of the others.
logger_class = "app.telemetry.foreign.ServerLogger"
accesslog = None
errorlog = "-"
loglevel = "warning"


def on_starting(server):  # noqa: D103, ARG001
    # What is left of servers before this one, and of the master's own loading of the app, which counts nothing.
    for path in METRICS_FOLDER.glob("*.db"):
        path.unlink()


def when_ready(server):  # noqa: D103, ARG001
    # What is loaded stays. Looked through by the garbage collector again and again, it holds up every stream of a
    # worker for 15 ms, or 40 with the record of turns (measured on a slow machine).
    gc.collect()
    gc.freeze()


def child_exit(server, worker):  # noqa: D103, ARG001
    # However it ended: what it counted stays, its gauges go.
    if any(METRICS_FOLDER.glob(f"*_{worker.pid}.db")):
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(worker.pid)


def post_worker_init(worker):  # noqa: D103, ARG001
    # Ctrl-C reaches the whole process group; the master alone is to act on it, and end its workers in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
