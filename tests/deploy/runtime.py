"""AWS Lambda's Runtime API on a loopback port, and a function that AWS's own runtime client serves from it.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html: the function asks for the next event, and posts the
answer or the error to the event's own address.
"""

import json
import queue
import subprocess
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

API = "/2018-06-01/runtime"
WAIT_S = 40.0


class Function:
    """A Lambda function in a process of its own. `output` is all that it has printed."""

    def __init__(self, command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        self._command, self._cwd = command, cwd
        self._events: queue.Queue[tuple[str, Any] | None] = queue.Queue()
        self._answers: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._env = dict(env) | {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_address[1]}",
            "AWS_LAMBDA_FUNCTION_NAME": "glottis",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_REGION": "eu-central-1",
        }
        self.output = ""

    def __enter__(self) -> "Function":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.process = subprocess.Popen(
            self._command, cwd=self._cwd, env=self._env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()  # Lambda ends an environment like that too
        self.process.wait()
        self._events.put(None)
        self._reader.join(5)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._server.shutdown()
        self._server.server_close()

    def invoke(self, event: Any) -> Any:
        """Return what the function answers to an event; raises AssertionError for an error, or for no answer."""
        assert self.process.poll() is None, self.output
        self._events.put((uuid.uuid4().hex, event))
        try:
            what, answer = self._answers.get(timeout=WAIT_S)
        except queue.Empty:
            raise AssertionError(f"no answer within {WAIT_S} s:\n{self.output}") from None
        assert what == "response", (what, answer, self.output)
        return answer

    def ended(self) -> int:
        """Wait for the function's end, and return its exit status."""
        status = self.process.wait(WAIT_S)
        self._reader.join(5)
        return status

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        events, answers = self._events, self._answers

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                assert self.path == f"{API}/invocation/next"
                item = events.get()
                if item is None:
                    self.close_connection = True
                    return
                request_id, event = item
                deadline_ms = int((time.time() + WAIT_S) * 1000)
                headers = {
                    "Lambda-Runtime-Aws-Request-Id": request_id,
                    "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
                    "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:123456789012:function:glottis",
                }
                self._reply(200, json.dumps(event).encode(), headers)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answers.put((self.path.rpartition("/")[2], json.loads(body)))
                self._reply(202, b'{"status":"OK"}', {})

            def _reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        return Handler
