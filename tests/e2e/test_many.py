"""Many callers at once, through one worker."""

import json
import subprocess
import sys

import pytest
from gateway import KEY, Gateway
from upstreams import OpenAIUpstream

STREAMS = 500
CLIENT = """
from gevent import monkey; monkey.patch_all()
import gevent, http.client, json, sys
port, key, streams = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def words(number):
    return " ".join(f"{number}-{place}" for place in range(30))

def one(number):
    body = {"model": "gpt-4.1", "stream": True, "messages": [{"role": "user", "content": words(number)}]}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=90)
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + key}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    *events, done, rest = connection.getresponse().read().decode().split("\\n\\n")
    deltas = [json.loads(event[6:])["choices"][0] for event in events]
    text = "".join(choice["delta"].get("content") or "" for choice in deltas)
    finishes = [choice["finish_reason"] for choice in deltas if choice["finish_reason"]]
    return done == "data: [DONE]" and finishes == ["stop"] and text == "You said: " + words(number)

jobs = [gevent.spawn(one, number) for number in range(streams)]
gevent.joinall(jobs)
errors = [repr(job.exception) for job in jobs if job.exception]
print(json.dumps({"right": sum(job.value is True for job in jobs), "errors": errors[:3]}))
"""


@pytest.mark.timeout(180)
def test_five_hundred_streams_at_once(gateway: Gateway, openai_upstream: OpenAIUpstream) -> None:
    """All are complete and correct, and none has a word of another's."""
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, str(gateway.port), KEY, str(STREAMS)],
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert json.loads(done.stdout) == {"right": STREAMS, "errors": []}, done.stderr[-2000:]
    openai_upstream.wait_until_idle()
