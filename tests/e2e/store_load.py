"""A load of small requests from one process, over connections that are kept: prints how often each status came.

    python store_load.py KEY REQUESTS CONNECTIONS PORT [PORT ...]

With REQUESTS 0 it goes on until its standard input ends.
"""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402 (the patch comes before everything else)
import socket  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections import Counter  # noqa: E402
from itertools import count, cycle  # noqa: E402

import gevent  # noqa: E402
from gevent.fileobject import FileObject  # noqa: E402

key, requests, connections, *ports = sys.argv[1], *map(int, sys.argv[2:])
BODY = json.dumps({"model": "free", "messages": [{"role": "user", "content": "hello"}]}).encode()
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s" % (key.encode(), len(BODY), BODY)
)
LENGTH = b"Content-Length: "

statuses: Counter[int] = Counter()
numbers = count()
is_over = False


def ask(port: int) -> None:
    """Send requests over one connection until all are sent."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=60)
    data = b""
    while not is_over and (next(numbers) < requests or not requests):
        sock.sendall(REQUEST)
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += sock.recv(65536)
        at = data.index(LENGTH) + len(LENGTH)
        length = int(data[at : data.index(b"\r\n", at)])
        while len(data) < end + 4 + length:
            data += sock.recv(65536)
        statuses[int(data[9:12])] += 1
        data = data[end + 4 + length :]


began_at = time.monotonic()
jobs = [gevent.spawn(ask, port) for port, _ in zip(cycle(ports), range(connections), strict=False)]
if not requests:
    FileObject(sys.stdin.buffer).read()
    is_over = True
gevent.joinall(jobs, raise_error=True)
print(json.dumps({"seconds": time.monotonic() - began_at, "statuses": statuses}))  # noqa: T201 (its one result)
