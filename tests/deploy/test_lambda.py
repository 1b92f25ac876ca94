"""The buffered Lambda function: AWS's own runtime client serves it from the image's files, events come in, answers go.

The events have the shapes that AWS documents, with headers as its gateways send them.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deploy.runtime import Function
from dockerfiles import Dockerfile
from gateway import BIN, KEY, ROOT, clean_environment
from upstreams import OpenAIUpstream

pytest.importorskip("awslambdaric", reason="AWS makes its runtime client for Linux alone")

EVENTS = {path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "events").glob("*.json"))}
FORMAT_2 = {"function-url", "function-url-base64", "http-api"}
SAID = dict.fromkeys(EVENTS, "Are you open on Saturday?") | {"function-url-base64": "Sind Sie am Samstag geöffnet?"}


class Home:
    """The image's files in a folder, and how to run something among them."""

    def __init__(self, folder: Path) -> None:
        dockerfile = Dockerfile(ROOT / "deploy" / "lambda" / "Dockerfile")
        dockerfile.copy(folder, "buffered")
        self.command = dockerfile.last("CMD", "buffered").command
        self.folder = folder / dockerfile.last("WORKDIR", "buffered").rest.lstrip("/")
        self.env = clean_environment() | {"PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": ""}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """What the image for buffered events has, as far as it can be made without Docker."""
    return Home(tmp_path_factory.mktemp("lambda"))


@pytest.fixture(scope="module")
def function(home: Home, openai_upstream: OpenAIUpstream) -> Iterator[Function]:
    """The function, with a scripted OpenAI behind it."""
    env = home.env | {
        "API_KEYS": f"elevenlabs:{KEY}",
        "OPENAI_API_KEY": openai_upstream.key,
        "OPENAI_BASE_URL": openai_upstream.base_url,
    }
    with Function(home.command, home.folder, env) as running:
        yield running


def changed(name: str, **fields: Any) -> dict[str, Any]:
    """Return an event with some fields changed; headers are added to those that it has."""
    event: dict[str, Any] = json.loads(json.dumps(EVENTS[name]))
    event["headers"] |= fields.pop("headers", {})
    return event | fields


@pytest.mark.parametrize("name", EVENTS)
def test_every_kind_of_event_is_answered(function: Function, name: str) -> None:
    """A turn that comes by any of AWS's ways gets its answer, in the form that this way takes."""
    answer = function.invoke(EVENTS[name])
    assert (answer["statusCode"], answer["isBase64Encoded"]) == (200, False)
    headers = {key.lower(): value for key, value in answer.get("headers", answer.get("multiValueHeaders")).items()}
    assert ("cookies" in answer) == (name in FORMAT_2)
    assert ("multiValueHeaders" in answer) == (name == "rest-api")
    assert headers["x-request-id"]
    if name != "function-url":
        content = json.loads(answer["body"])["choices"][0]["message"]["content"]
        assert content == f"You said: {SAID[name]}"


def test_a_stream_comes_in_one_piece(function: Function) -> None:
    """Who asks for a stream gets all of its events, to the last, as one body."""
    answer = function.invoke(EVENTS["function-url"])
    assert answer["headers"]["content-type"].startswith("text/event-stream")
    *events, done, end = answer["body"].split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    said = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert said == f"You said: {SAID['function-url']}"


def test_every_turn_has_its_line(function: Function) -> None:
    """CloudWatch gets the line of every turn, with its conversation."""
    for name in EVENTS:
        function.invoke(EVENTS[name])
    lines = [json.loads(line) for line in function.output.splitlines() if line.startswith("{")]
    turns = [line for line in lines if line["event"] == "turn"]
    told = {turn["conversation_id"] for turn in turns}
    assert told >= {"conv_url", "conv_base64", "conv_http", "conv_rest", "conv_elb"}
    assert {turn["end"] for turn in turns} == {"completed"}


def test_the_patch_comes_in_time(function: Function) -> None:
    """Gevent patches before anything has made a connection, or HTTPS would break: it warns where it is late."""
    assert function.invoke(EVENTS["http-api"])["statusCode"] == 200
    assert "MonkeyPatchWarning" not in function.output


def test_a_wrong_key_is_refused(function: Function) -> None:
    """Lambda opens no back door: without the key it is 401, in OpenAI's shape."""
    answer = function.invoke(changed("http-api", headers={"authorization": "Bearer guessed"}))
    assert answer["statusCode"] == 401
    assert json.loads(answer["body"])["error"]["code"] == "invalid_api_key"


def test_the_stage_is_no_part_of_the_path(function: Function) -> None:
    """An HTTP API's stage before the path is taken off, once; anything else before it is another path."""
    event = changed("http-api", rawPath="/live/health", body=None)
    event["requestContext"]["http"]["method"] = "GET"
    assert function.invoke(event)["statusCode"] == 200
    assert function.invoke(event | {"rawPath": "/health"})["statusCode"] == 200
    assert function.invoke(event | {"rawPath": "/live/live/health"})["statusCode"] == 404
    assert function.invoke(event | {"rawPath": "/other/health"})["statusCode"] == 404


def test_a_request_without_a_body_is_refused(function: Function) -> None:
    """An event whose body is null is a request without one."""
    assert function.invoke(changed("rest-api", body=None))["statusCode"] == 400


ECHO = """
import json
from gevent import monkey

PATCHED = monkey.is_module_patched("ssl")

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    names = ("PATH_INFO", "QUERY_STRING", "REMOTE_ADDR", "HTTP_COOKIE", "wsgi.url_scheme")
    return [json.dumps({"patched": PATCHED} | {name: environ.get(name) for name in names}).encode()]
"""

ANSWER = """
import json, sys
import handler
json.dump({name: handler.handler(event, None) for name, event in json.load(sys.stdin).items()}, sys.stdout)
"""


def test_what_a_wsgi_application_sees(home: Home, tmp_path: Path) -> None:
    """Path, query, cookies and scheme arrive as they were sent; the address is what AWS saw, not what was claimed."""
    (tmp_path / "wsgi.py").write_text(ECHO)
    (tmp_path / "handler.py").write_text((home.folder / "handler.py").read_text())
    done = subprocess.run(
        [sys.executable, "-c", ANSWER],
        cwd=tmp_path,
        env=home.env,
        input=json.dumps(EVENTS),
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    answers = json.loads(done.stdout)
    seen = {name: json.loads(answer["body"]) for name, answer in answers.items()}
    assert all(one["patched"] for one in seen.values()), "gevent patched after the application was loaded"
    assert {one["PATH_INFO"] for one in seen.values()} == {"/v1/chat/completions"}
    assert {one["REMOTE_ADDR"] for one in seen.values()} == {"198.51.100.7"}
    assert {one["wsgi.url_scheme"] for one in seen.values()} == {"https"}
    assert seen["function-url-base64"]["HTTP_COOKIE"] == "session=abc;theme=dark"
    assert {name: one["QUERY_STRING"] for name, one in seen.items()} == {
        "function-url": "",
        "function-url-base64": "",
        "http-api": "agent=one&agent=two%20three",
        "rest-api": "agent=one&agent=two+three",
        "load-balancer": "agent=two%20three",
    }
    assert answers["http-api"]["cookies"] == ["a=1", "b=2"]
    assert answers["rest-api"]["multiValueHeaders"]["Set-Cookie"] == ["a=1", "b=2"]


def test_a_function_without_keys_does_not_start(home: Home) -> None:
    """What is missing is said in the log, and nothing is served."""
    with Function(home.command, home.folder, home.env) as function:
        assert function.ended() != 0
        assert "API_KEYS: not set" in function.output
