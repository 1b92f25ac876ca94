"""`git push heroku main` works by the files alone: Heroku's rules, held against them."""

import json
import re
import tomllib

import pytest
from gateway import BIN, ROOT, Gateway

# https://devcenter.heroku.com/articles/python-support: exactly one of these tells the buildpack how to install.
PACKAGE_FILES = ("requirements.txt", "Pipfile", "Pipfile.lock", "poetry.lock", "uv.lock")
HEROKU = {
    "WEB_CONCURRENCY": "2",
    "DYNO": "web.1",
    "FORWARDED_ALLOW_IPS": "*",
    "GUNICORN_CMD_ARGS": "--access-logfile -",
    "OPENAI_API_KEY": "sk-not-used",
}


def procfile() -> dict[str, str]:
    """Return the Procfile's commands by process type."""
    lines = (ROOT / "Procfile").read_text().splitlines()
    return dict(re.fullmatch(r"([A-Za-z0-9_-]+):\s*(\S.*)", line).groups() for line in lines)  # type: ignore[union-attr]


def test_one_package_file() -> None:
    """Heroku finds requirements.txt and nothing that contradicts it."""
    assert [name for name in PACKAGE_FILES if (ROOT / name).exists()] == ["requirements.txt"]


def test_every_requirement_is_pinned_and_hashed() -> None:
    """What was tested is what is installed."""
    text = (ROOT / "requirements.txt").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert lines
    assert all(re.match(r"[a-z0-9._\[\]-]+==\S+", line) and "--hash=sha256:" in line for line in lines)


def test_the_python_version_has_the_minor_form() -> None:
    """`python-3.11` takes the newest patch, and fits what pyproject.toml demands."""
    assert (ROOT / "runtime.txt").read_text().strip() == "python-3.11"
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"] == ">=3.11"


def test_no_environment_is_committed() -> None:
    """A committed virtual environment would break the build; git ignores it, and a developer's keys."""
    ignored = (ROOT / ".gitignore").read_text().split()
    assert {".venv/", ".env"} <= set(ignored)


def test_the_procfile_has_a_web_process() -> None:
    """Heroku routes to `web`, which is gunicorn with this repository's configuration."""
    assert procfile()["web"].startswith("gunicorn wsgi:app")


def test_app_json_asks_for_what_the_server_needs() -> None:
    """The button makes a server that boots: a generated key for callers, and keys for vendors if one has them."""
    env = json.loads((ROOT / "app.json").read_text())["env"]
    assert env["API_KEYS"]["generator"] == "secret"
    assert not env["OPENAI_API_KEY"]["required"]
    assert not env["ANTHROPIC_API_KEY"]["required"]


@pytest.mark.timeout(120)
def test_the_procfile_boots_as_on_heroku() -> None:
    """The web command comes up with the dyno's environment, on its port, with two workers."""
    with Gateway(HEROKU, command=["bash", "-c", f"PATH={BIN}:$PATH exec {procfile()['web']}"]) as gateway:
        assert gateway.events("boot")[0]["providers"] == ["openai"]
        assert gateway.process.poll() is None
        assert "Traceback" not in gateway.output
