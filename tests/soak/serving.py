"""gunicorn as it serves, with a signal that writes down what the worker holds: the soak asks for it."""

from pathlib import Path

_conf = Path(__file__).parents[2] / "gunicorn.conf.py"
exec(compile(_conf.read_text(), _conf, "exec"))

import gc  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402

_serve = post_worker_init  # type: ignore[name-defined]  # noqa: F821


def post_worker_init(worker):  # noqa: D103
    _serve(worker)

    def tell(number, frame):
        from greenlet import greenlet

        gc.collect()
        desk = worker.wsgi.extensions["glottis.desk"]
        found = {
            "greenlets": sum(isinstance(each, greenlet) and not each.dead for each in gc.get_objects()),
            "sockets": sum(each.is_socket() for each in Path("/proc/self/fd").iterdir()),
            "open_turns": len(desk._open),
            "objects": len(gc.get_objects()),
            "rss_mb": int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6,
        }
        path = Path(os.environ["SOAK_FIGURES"])
        path.with_suffix(".new").write_text(json.dumps(found))
        path.with_suffix(".new").rename(path)

    signal.signal(signal.SIGUSR2, tell)
