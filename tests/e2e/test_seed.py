"""The examples of the document that the project grew from (its part 3) run unchanged: port 8000, gpt-4, no key."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
from gateway import ROOT, Gateway, clean_environment

PORT = 8000

PLAIN = """
curl -X POST "http://localhost:8000/v1/chat/completions" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "gpt-4",
    "messages": [
      {"role": "system", "content": "You are a helpful assistant."},
      {"role": "user", "content": "Hello!"}
    ],
    "stream": false
  }'
"""
STREAMED = PLAIN.replace('"stream": false', '"stream": true')
WITH_HEADER = PLAIN.replace("  -d", '  -H "X-Custom-Auth: my-secret-token" \\\n  -d')

PYTHON = """
from openai import OpenAI

# Point to your custom LLM server
client = OpenAI(
    api_key="unused",  # Custom endpoint doesn't need real key
    base_url="http://localhost:8000"
)

# Non-streaming
response = client.chat.completions.create(
    model="gpt-4",
    messages=[
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "What is 2+2?"}
    ]
)
print(response.choices[0].message.content)

# Streaming
stream = client.chat.completions.create(
    model="gpt-4",
    messages=[
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "What is 2+2?"}
    ],
    stream=True
)

for chunk in stream:
    if chunk.choices[0].delta.content:
        print(chunk.choices[0].delta.content, end="", flush=True)
"""


@pytest.fixture(scope="module")
def newcomers() -> Iterator[Gateway]:
    """The server that `make run` starts, without any key."""
    environment = {"API_KEYS": "", "PORT": str(PORT)}
    gateway = Gateway(environment, command=[sys.executable, "-m", "app.cli.run"], port=PORT)
    with gateway:
        gateway.wait_for("curl -N http://127.0.0.1:8000/v1/chat/completions")
        yield gateway


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on this machine")
@pytest.mark.parametrize(
    ("command", "mark"), [(PLAIN, '"content":'), (STREAMED, "data: [DONE]"), (WITH_HEADER, '"usage"')]
)
def test_the_seeds_curl_commands(newcomers: Gateway, command: str, mark: str) -> None:
    """Whole, streamed, and with X-Custom-Auth: the command prints a model's answer."""
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=100, env=os.environ)
    assert mark in done.stdout, done.stdout + done.stderr


def test_the_seeds_python_client(newcomers: Gateway) -> None:
    """The client prints both answers and raises nothing."""
    done = subprocess.run(
        [sys.executable, "-c", PYTHON], capture_output=True, text=True, timeout=100, env=clean_environment(), cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) > 2
