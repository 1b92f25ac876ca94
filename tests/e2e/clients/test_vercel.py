"""The Vercel AI SDK, in front of either vendor: a small node script, with its packages pinned in package-lock.json."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from gateway import KEY

SOURCE = Path(__file__).parent / "vercel"
INSTALL_S = 60


@pytest.fixture(scope="module")
def script() -> Path:
    """The script, with its packages installed beside it, in a folder that git ignores."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not on this machine")
    modules, lock = SOURCE / "node_modules", SOURCE / "package-lock.json"
    installed = modules / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        try:
            done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, timeout=INSTALL_S)
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm did not install the packages within {INSTALL_S} s")
        if done.returncode:
            pytest.skip(f"npm could not install the packages: {done.stderr.strip()[:300]}")
    return SOURCE / "client.mjs"


def test_the_sdk_gets_what_it_asks_for(script: Path, base_url: str, model: str) -> None:
    """Words whole and streamed, tools called in a loop, and an object of a schema, by both of its providers."""
    environment = os.environ | {"AI_SDK_LOG_WARNINGS": "false"}
    command = ["node", str(script), base_url, KEY, model]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    results: dict[str, Any] = json.loads(done.stdout)
    assert set(results) == {"openai", "compatible"}
    for got in results.values():
        assert got["text"] == "".join(got["pieces"]) == "You said: Hello"
        assert len(got["pieces"]) > 1
        assert got["finish"] == "stop"
        assert min(got["tokens"], got["streamedTokens"]) > 0
        assert got["called"] == got["streamed"] == "The tool said: 5"
        assert got["steps"] == 2
        assert got["object"] == {"guests": 4, "name": "Ada"}
