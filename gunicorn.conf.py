"""How gunicorn serves Glottis, read by `gunicorn wsgi:app` in this folder; every line may be overridden on its command.

The figures and traps behind these values: docs/operations.md.
"""

from gevent import monkey

monkey.patch_all()

import os  # noqa: E402 (the patch comes before everything else)
import signal  # noqa: E402


def _whole(name, default):
    text = os.environ.get(name) or str(default)
    if not text.isdecimal():
        raise SystemExit(f"{name}: expected a whole number.")
    return int(text)


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

# Of the headers that a proxy may set (FORWARDED_ALLOW_IPS is * on Heroku, so anybody), none changes what a path means.
forwarder_headers = ""

accesslog = None
errorlog = "-"
loglevel = "warning"


def post_worker_init(worker):  # noqa: D103, ARG001
    # Ctrl-C reaches the whole process group; the master alone is to act on it, and end its workers in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
