"""schemathesis reads /openapi.json and asks the running server whatever that allows, and what it does not.

Some rules OpenAPI cannot express, and no request here breaks them: the body's largest size (MAX_BODY_BYTES), how
deep JSON may be nested, lone surrogates, other types than application/json that end in +json, and compressed bodies.
tests/api/test_http.py has each of them.
"""

import os
import subprocess
from pathlib import Path

import pytest
from gateway import BIN, KEY, ROOT, Gateway

ALIASES = "^/(chat|models)|completions/chat"
"""Other paths of the same views, which tests/api/test_openapi.py knows to be described alike."""

BOUNDED = ["--generation-deterministic", "--request-timeout=20", "--no-color"]


def schemathesis(gateway: Gateway, folder: Path, model: str, *options: str) -> None:
    """Run the tool against the gateway; where it finds something, fail with its report."""
    environment = os.environ | {
        "ASKED_MODEL": model,
        "PYTHONPATH": str(ROOT / "tests" / "api"),
        "SCHEMATHESIS_HOOKS": "asked_of",
    }
    command = [str(BIN / "schemathesis"), "run", f"{gateway.url}/openapi.json", f"--header=Authorization: Bearer {KEY}"]
    done = subprocess.run(
        [*command, *BOUNDED, *options], cwd=folder, env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_server_does_what_the_document_says(gateway: Gateway, tmp_path: Path) -> None:
    """What is valid is answered and what is not is refused, in the statuses, types and shapes that are told."""
    schemathesis(
        gateway,
        tmp_path,
        "function-answer",
        "--phases=coverage,fuzzing",
        "--max-examples=20",
        f"--exclude-path-regex={ALIASES}",
    )


@pytest.mark.parametrize("model", ["gpt-4.1", "claude-sonnet-5"])
def test_so_it_does_in_front_of_a_strict_provider(gateway: Gateway, tmp_path: Path, model: str) -> None:
    """No request makes the server fail, or answer in a way that is not told.

    A provider has rules of its own, each model others (a service tier, an image's URL, a tool's name): OpenAPI cannot
    say these of one endpoint for all models, so that a request may be refused that is valid by the document.
    """
    schemathesis(
        gateway,
        tmp_path,
        model,
        "--phases=fuzzing",
        "--max-examples=30",
        "--exclude-checks=positive_data_acceptance",
        "--include-path=/v1/chat/completions",
    )
    assert not gateway_errors(gateway)


def gateway_errors(gateway: Gateway) -> list[object]:
    """Return the lines of the gateway's log that tell of a fault of its own."""
    return [line for line in gateway.lines if isinstance(line, dict) and line["event"] == "internal_error"]
