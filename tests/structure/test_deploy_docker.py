"""The images are what they should be, and have all that the server needs: linted, and done without Docker."""

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dockerfiles import Dockerfile, context
from gateway import BIN, KEY, ROOT, Gateway, clean_environment, free_port

SERVER = ROOT / "deploy" / "Dockerfile"
LAMBDA = ROOT / "deploy" / "lambda" / "Dockerfile"
FINAL = [
    pytest.param(SERVER, "", id="server"),
    pytest.param(LAMBDA, "streaming", id="lambda-streaming"),
    pytest.param(LAMBDA, "buffered", id="lambda-buffered"),
]
COMPOSE = ROOT / "deploy" / "compose.yaml"
DOCKER_STOP_S = 10
"""https://docs.docker.com/reference/cli/docker/container/stop/"""


@pytest.mark.parametrize("path", [SERVER, LAMBDA], ids=["server", "lambda"])
def test_hadolint_finds_nothing(path: Path) -> None:
    """A Dockerfile has nothing that hadolint warns of, nor a shell command that ShellCheck does."""
    if not (BIN / "hadolint").exists():
        pytest.skip("hadolint is not made for this system")
    found = subprocess.run([BIN / "hadolint", "--no-color", path], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


@pytest.mark.parametrize("path", [SERVER, LAMBDA], ids=["server", "lambda"])
def test_every_base_is_slim_and_pinned(path: Path) -> None:
    """An image is made from a slim Python of one version, the one that runtime.txt names; nothing is `latest`."""
    dockerfile = Dockerfile(path)
    bases = {stage.base for stage in dockerfile.stages} - {stage.name for stage in dockerfile.stages}
    python = (ROOT / "runtime.txt").read_text().strip().replace("python-", "python:")
    assert [base for base in bases if not re.fullmatch(rf"{re.escape(python)}-slim-\w+", base)] == []
    others = [
        step.rest for stage in dockerfile.stages for step in stage.steps if re.search(r"--from=\S+[/:]", step.rest)
    ]
    assert [rest for rest in others if not re.search(r"--from=\S+:\d+\.\d+\.\d+ ", rest)] == []


@pytest.mark.parametrize(("path", "stage"), FINAL)
def test_nobody_is_root(path: Path, stage: str) -> None:
    """The server runs as a user by number, which is what Kubernetes needs to see that it is not root."""
    assert int(Dockerfile(path).last("USER", stage).rest) > 1000


@pytest.mark.parametrize(("path", "stage"), FINAL)
def test_signals_reach_the_server(path: Path, stage: str) -> None:
    """The command has the exec form: no shell stands between `docker stop` and gunicorn."""
    assert Dockerfile(path).last("CMD", stage).command[0] in ("gunicorn", "python")
    assert [step for step in Dockerfile(path).steps(stage) if step.word in ("ENTRYPOINT", "ADD")] == []


@pytest.mark.parametrize(("path", "stage"), FINAL)
def test_what_is_installed_is_what_was_tested(path: Path, stage: str) -> None:
    """Every package comes as a wheel with its hash, from a file that `make lock` made."""
    installs = [
        step.rest
        for parent in Dockerfile(path).stages
        for step in parent.steps
        if step.word == "RUN" and re.search(r"\bpip\b.* install ", step.rest)
    ]
    assert installs
    assert [run for run in installs if not {"--require-hashes", "--only-binary"} <= set(run.split())] == []
    assert not any("requirements-dev" in run for run in installs)


def test_the_health_check_needs_no_curl() -> None:
    """A slim image has no curl; the check is Python's, in exec form."""
    check = Dockerfile(SERVER).last("HEALTHCHECK")
    assert check.command == ["python", "-m", "app.cli.health"]


def test_docker_stop_waits_long_enough() -> None:
    """The image's SHUTDOWN_S is what `docker stop` leaves unless it is told otherwise."""
    assert Dockerfile(SERVER).env()["SHUTDOWN_S"] == str(DOCKER_STOP_S)


def test_no_secret_and_no_tool_goes_to_docker() -> None:
    """Docker sees the server and nothing else: no key, no history, no test, whatever lies in the folder."""
    seen = context()
    assert "wsgi.py" in seen
    strangers = [
        path
        for path in seen
        if not path.startswith("app/") and not path.startswith("deploy/lambda/") and not path.endswith(".py")
    ]
    assert set(strangers) <= {"requirements.txt", "glottis.toml"}
    assert [path for path in seen if "__pycache__" in path or path.startswith((".", "tests/", "bench/"))] == []


class Image:
    """What the server's Dockerfile makes, in a folder: its files, its variables and its commands."""

    def __init__(self, folder: Path) -> None:
        self.dockerfile = Dockerfile(SERVER)
        self.dockerfile.copy(folder)
        self.home = folder / self.dockerfile.last("WORKDIR").rest.lstrip("/")
        own = {name: value for name, value in self.dockerfile.env().items() if name not in ("PATH", "PORT")}
        self.env = own | {"PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": ""}

    def run(self, command: list[str], port: int) -> subprocess.CompletedProcess[str]:
        """Run a command as it runs in the container."""
        env = clean_environment() | self.env | {"PORT": str(port)}
        return subprocess.run(command, cwd=self.home, env=env, capture_output=True, text=True, check=False, timeout=30)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The image, as far as it can be made without Docker."""
    return Image(tmp_path_factory.mktemp("image"))


def test_the_image_has_all_that_the_server_needs(image: Image) -> None:
    """The server boots from the copied files alone, by the image's command, and its health check sees it."""
    check = image.dockerfile.last("HEALTHCHECK").command
    command = image.dockerfile.last("CMD").command
    env = image.env | {"OPENAI_API_KEY": "sk-not-used"}
    with Gateway(env, command=command, cwd=image.home) as gateway:
        assert gateway.events("boot")[0]["providers"] == ["openai"]
        assert image.run(check, gateway.port).returncode == 0
    assert image.run(check, gateway.port).returncode == 1


def test_the_image_migrates(image: Image) -> None:
    """The release step works in the image, and does nothing where no record of turns is configured."""
    if importlib.util.find_spec("app.cli.migrate") is None:
        pytest.skip("there is no app.cli.migrate yet")
    done = image.run(["python", "-m", "app.cli.migrate"], free_port())
    assert done.returncode == 0, done.stderr


def test_the_health_check_of_a_hung_server_fails(image: Image) -> None:
    """A server that accepts and says nothing is not healthy."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.listen()
        done = image.run(["python", "-m", "app.cli.health"], server.getsockname()[1])
    assert done.returncode == 1
    assert "no answer" in done.stderr


def compose() -> dict[str, dict[str, object]]:
    """Return the services of compose.yaml."""
    services: dict[str, dict[str, object]] = yaml.safe_load(COMPOSE.read_text())["services"]
    return services


def test_compose_starts_in_order() -> None:
    """The server starts when the database is migrated and Valkey answers; what is waited for can be seen."""
    services = compose()
    waits = {
        (name, other, rule["condition"])
        for name, service in services.items()
        for other, rule in service.get("depends_on", {}).items()  # type: ignore[attr-defined]
    }
    assert waits == {
        ("app", "migrate", "service_completed_successfully"),
        ("app", "valkey", "service_healthy"),
        ("migrate", "postgres", "service_healthy"),
    }
    assert [
        other for _, other, rule in waits if rule == "service_healthy" and "healthcheck" not in services[other]
    ] == []


def test_compose_leaves_the_time_that_it_promises() -> None:
    """Compose waits as long after SIGTERM as SHUTDOWN_S says."""
    app = compose()["app"]
    assert app["stop_grace_period"] == f"{app['environment']['SHUTDOWN_S']}s"  # type: ignore[index]


def test_compose_has_no_secret() -> None:
    """Every key and password of compose.yaml comes from the environment."""
    secrets = [
        value
        for service in compose().values()
        for name, value in service.get("environment", {}).items()  # type: ignore[attr-defined]
        if re.search(r"KEY|PASSWORD|DATABASE_URL", name)
    ]
    assert len(secrets) >= 4
    assert [value for value in secrets if "${" not in value] == []


def docker(*words: str) -> str:
    """Run docker; return what it prints; raises CalledProcessError where it fails."""
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True, cwd=ROOT).stdout.strip()


def _why_no_docker() -> str:
    if shutil.which("docker") is None:
        return "docker is not installed"
    for words, reason in (
        (["version"], "no Docker engine answers"),
        (["pull", Dockerfile(SERVER).stages[0].base], "what the image is made of cannot be fetched here"),
    ):
        if subprocess.run(["docker", *words], check=False, capture_output=True, timeout=300).returncode:
            return reason
    return ""


@pytest.fixture(scope="module")
def built() -> Iterator[str]:
    """The server's image, built by a Docker engine, if there is one."""
    if reason := _why_no_docker():
        pytest.skip(reason)
    tag = f"glottis-test:{uuid.uuid4().hex[:12]}"
    docker("build", "--file", str(SERVER), "--tag", tag, ".")
    yield tag
    docker("image", "rm", "--force", tag)


@pytest.mark.timeout(900)
def test_the_image_runs_in_docker(built: str) -> None:
    """The built image becomes healthy, answers, runs as nobody's root, and ends by itself at `docker stop`."""
    port = free_port()
    name = docker(
        "run", "--detach", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL",
        "--publish", f"127.0.0.1:{port}:8000", "--env", f"API_KEYS={KEY}", "--env", "OPENAI_API_KEY=sk-not-used", built,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while (health := docker("inspect", "--format", "{{.State.Health.Status}}", name)) != "healthy":
            assert time.monotonic() < deadline, f"{health}: {docker('logs', name)}"
            time.sleep(0.5)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            assert answer.status == 200
        assert docker("exec", name, "id", "-u") == Dockerfile(SERVER).last("USER").rest
        docker("stop", name)
        assert docker("inspect", "--format", "{{.State.ExitCode}}", name) == "0"
    finally:
        docker("rm", "--force", name)


def test_compose_is_valid_for_docker() -> None:
    """Docker Compose itself accepts the file."""
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "compose", "version"], check=False, capture_output=True).returncode
    ):
        pytest.skip("Docker Compose is not installed")
    env = os.environ | {"API_KEYS": KEY, "POSTGRES_PASSWORD": "tester"}
    command = ["docker", "compose", "--file", str(COMPOSE), "config", "--quiet"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env)
    assert (done.returncode, done.stderr) == (0, "")
