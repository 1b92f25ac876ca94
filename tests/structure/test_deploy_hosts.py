"""What the hosts' files promise: the times that each host leaves, probes that exist, variables that are read."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from dockerfiles import Dockerfile
from flask import Flask
from gateway import ROOT

from app.api import health

DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
RESOURCES = ("deployment", "service", "autoscaler", "disruption")

# https://cloud.google.com/run/docs/container-contract: SIGKILL comes 10 s after SIGTERM.
CLOUD_RUN_S = 10
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html: 2 s with an external extension.
LAMBDA_S = 2

ELSEWHERE = {"GUNICORN_CMD_ARGS"}
"""Variables that gunicorn reads."""


def load(path: Path) -> Any:
    """Return what a YAML or JSON file holds."""
    return yaml.safe_load(path.read_text())


def server() -> dict[str, Any]:
    """Return the server's container in the Deployment."""
    found: dict[str, Any] = load(KUBERNETES / "deployment.yaml")["spec"]["template"]["spec"]["containers"][0]
    return found


def pod() -> dict[str, Any]:
    """Return the Deployment's pod."""
    found: dict[str, Any] = load(KUBERNETES / "deployment.yaml")["spec"]["template"]["spec"]
    return found


def cloud_run() -> dict[str, Any]:
    """Return the revision of the Cloud Run service."""
    found: dict[str, Any] = load(DEPLOY / "cloudrun" / "service.yaml")["spec"]["template"]["spec"]
    return found


def values(container: dict[str, Any]) -> dict[str, str]:
    """Return the variables that a container is given as they are."""
    return {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}


def documented() -> set[str]:
    """Return the variables that docs/settings.md explains."""
    text = (ROOT / "docs" / "settings.md").read_text().partition("\n## glottis.toml\n")[0]
    return set(re.findall(r"^\| `([A-Z_]+)` \|", text, re.MULTILINE))


def paths() -> set[str]:
    """Return where the server tells of its health."""
    app = Flask("probed")
    app.register_blueprint(health.blueprint)
    return {rule.rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())}


SETTINGS = {
    "kubernetes": lambda: {entry["name"] for entry in server()["env"]},
    "cloud run": lambda: {entry["name"] for entry in cloud_run()["containers"][0]["env"]},
    "compose": lambda: set(load(DEPLOY / "compose.yaml")["services"]["app"]["environment"]),
    "docker": lambda: set(Dockerfile(DEPLOY / "Dockerfile").env()) - {"PATH", "PYTHONUNBUFFERED"},
    "lambda": lambda: {
        name
        for name in set(Dockerfile(DEPLOY / "lambda" / "Dockerfile").env("streaming")) - {"PATH", "PYTHONUNBUFFERED"}
        if not name.startswith("AWS_LWA_")
    },
    "heroku": lambda: set(load(ROOT / "app.json")["env"]),
}


@pytest.mark.parametrize("host", SETTINGS)
def test_every_variable_is_one_that_is_read(host: str) -> None:
    """What a host's file sets is a setting that docs/settings.md explains."""
    names = SETTINGS[host]()
    assert names
    assert names - documented() - ELSEWHERE == set()


PROBES = {
    "kubernetes": lambda: {
        kind: server()[kind]["httpGet"]["path"] for kind in ("startupProbe", "readinessProbe", "livenessProbe")
    },
    "cloud run": lambda: {
        kind: cloud_run()["containers"][0][kind]["httpGet"]["path"] for kind in ("startupProbe", "livenessProbe")
    },
    "railway": lambda: {"readinessProbe": load(ROOT / "railway.json")["deploy"]["healthcheckPath"]},
    "lambda": lambda: {
        "startupProbe": Dockerfile(DEPLOY / "lambda" / "Dockerfile").env("streaming")["AWS_LWA_READINESS_CHECK_PATH"]
    },
}


@pytest.mark.parametrize("host", PROBES)
def test_probes_ask_what_is_there(host: str) -> None:
    """Probes ask paths that need no key; and nothing is restarted because a provider is down."""
    asked = PROBES[host]()
    assert set(asked.values()) <= paths()
    expected = {"startupProbe": "/health", "livenessProbe": "/health", "readinessProbe": "/health/ready"}
    assert asked == {kind: expected[kind] for kind in asked}


@pytest.mark.parametrize("resource", RESOURCES)
def test_kubernetes_takes_the_resources(resource: str) -> None:
    """Each resource is valid for Kubernetes, strictly: no field that it does not know."""
    kubernetes_validate.validate(load(KUBERNETES / f"{resource}.yaml"), "1.37", strict=True)
    kubernetes_validate.validate(load(KUBERNETES / f"{resource}.yaml"), "1.34", strict=True)


def test_kustomize_builds_all_of_it() -> None:
    """`kubectl apply -k` sends every resource, with the image that kustomization.yaml names in every container."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run(["kubectl", "kustomize", str(KUBERNETES)], capture_output=True, text=True, check=True)
    built = list(yaml.safe_load_all(done.stdout))
    assert {one["kind"] for one in built} == {load(KUBERNETES / f"{name}.yaml")["kind"] for name in RESOURCES}
    spec = next(one for one in built if one["kind"] == "Deployment")["spec"]["template"]["spec"]
    [image] = load(KUBERNETES / "kustomization.yaml")["images"]
    images = {container["image"] for container in spec["containers"] + spec["initContainers"]}
    assert images == {f"{image['newName']}:{image['newTag']}"}


def test_kustomization_has_every_resource() -> None:
    """No resource lies there that nobody applies."""
    assert load(KUBERNETES / "kustomization.yaml")["resources"] == [f"{name}.yaml" for name in RESOURCES]
    files = {path.stem for path in KUBERNETES.glob("*.yaml")}
    assert files == {*RESOURCES, "kustomization", "adapter-rule"}


def test_kubernetes_leaves_the_time_that_it_promises() -> None:
    """After preStop there are as many seconds as SHUTDOWN_S says, and more."""
    pause_s = server()["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod()["terminationGracePeriodSeconds"] > pause_s + int(values(server())["SHUTDOWN_S"])


def test_kubernetes_asks_patiently_enough() -> None:
    """/health/ready may take 3.5 s, because it waits for providers; the probe waits longer."""
    assert server()["readinessProbe"]["timeoutSeconds"] > 3.5


@pytest.mark.parametrize("container", [*pod()["containers"], *pod()["initContainers"]], ids=lambda one: one["name"])
def test_pods_may_do_nothing_else(container: dict[str, Any]) -> None:
    """Nobody is root, nothing is written but to /tmp, and no privilege can be had: the profile `restricted`."""
    user = int(Dockerfile(DEPLOY / "Dockerfile").last("USER").rest)
    assert pod()["securityContext"]["runAsNonRoot"]
    assert pod()["securityContext"]["runAsUser"] == user
    assert pod()["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/tmp"}
    assert container["resources"]["limits"].keys() == {"memory"}


def test_kubernetes_finds_the_port() -> None:
    """The server listens where the container, the Service and Prometheus look for it."""
    port = int(values(server())["PORT"])
    [named] = server()["ports"]
    annotations = load(KUBERNETES / "deployment.yaml")["spec"]["template"]["metadata"]["annotations"]
    assert named == {"name": "http", "containerPort": port}
    assert annotations["prometheus.io/port"] == str(port)
    assert load(KUBERNETES / "service.yaml")["spec"]["ports"][0]["targetPort"] == "http"


def test_every_selector_finds_the_pods() -> None:
    """Deployment, Service, budget and spread mean the same pods."""
    deployment = load(KUBERNETES / "deployment.yaml")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    spread = [rule["labelSelector"]["matchLabels"] for rule in pod()["topologySpreadConstraints"]]
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        load(KUBERNETES / "service.yaml")["spec"]["selector"],
        load(KUBERNETES / "disruption.yaml")["spec"]["selector"]["matchLabels"],
        *spread,
    ]
    assert [selector for selector in selectors if selector != labels] == []


def test_the_autoscaler_counts_turns_in_flight() -> None:
    """It scales this Deployment by the metric that the rule serves, and keeps more pods than may go at once."""
    autoscaler = load(KUBERNETES / "autoscaler.yaml")["spec"]
    [metric] = autoscaler["metrics"]
    [rule] = load(KUBERNETES / "adapter-rule.yaml")["rules"]["custom"]
    assert autoscaler["scaleTargetRef"]["name"] == load(KUBERNETES / "deployment.yaml")["metadata"]["name"]
    assert rule["seriesQuery"].partition("{")[0] == metric["pods"]["metric"]["name"]
    assert autoscaler["minReplicas"] > load(KUBERNETES / "disruption.yaml")["spec"]["maxUnavailable"]


def test_the_metric_exists() -> None:
    """The figure that the autoscaler looks at is one that the server tells."""
    text = "\n".join(path.read_text() for path in ROOT.glob("app/**/*.py"))
    if "prometheus_client" not in text:
        pytest.skip("there are no metrics yet")
    assert "turns_in_flight" in text


def test_keys_come_by_reference() -> None:
    """No key stands in a file: Kubernetes and Cloud Run take them from their stores of secrets."""
    containers = [server(), pod()["initContainers"][0]]
    assert [container["envFrom"] for container in containers] == [[{"secretRef": {"name": "glottis"}}]] * 2
    literal = {name for container in (server(), cloud_run()["containers"][0]) for name in values(container)}
    assert {name for name in literal if re.search("KEY|URL|SECRET|PASSWORD", name)} == set()


def test_cloud_run_leaves_ten_seconds() -> None:
    """SHUTDOWN_S is what Cloud Run leaves after SIGTERM, and the processor stays with the instance to use them."""
    service = load(DEPLOY / "cloudrun" / "service.yaml")
    annotations = service["spec"]["template"]["metadata"]["annotations"]
    assert values(cloud_run()["containers"][0])["SHUTDOWN_S"] == str(CLOUD_RUN_S)
    assert annotations["run.googleapis.com/cpu-throttling"] == "false"


def test_cloud_run_is_never_asleep() -> None:
    """One instance is always up, and a request may last longer than a turn."""
    annotations = load(DEPLOY / "cloudrun" / "service.yaml")["spec"]["template"]["metadata"]["annotations"]
    assert int(annotations["autoscaling.knative.dev/minScale"]) >= 1
    assert 120 < cloud_run()["timeoutSeconds"] <= 3600
    assert cloud_run()["containerConcurrency"] <= 1000


def test_cloud_run_chooses_the_port() -> None:
    """Cloud Run sets PORT itself and refuses a service that does; the probes ask the port that it is told."""
    [container] = cloud_run()["containers"]
    port = container["ports"][0]["containerPort"]
    assert "PORT" not in {entry["name"] for entry in container["env"]}
    assert {container[kind]["httpGet"]["port"] for kind in ("startupProbe", "livenessProbe")} == {port}


def test_lambda_ends_in_time() -> None:
    """The adapter finds the server, and at the end the server is gone before Lambda kills it."""
    env = Dockerfile(DEPLOY / "lambda" / "Dockerfile").env("streaming")
    assert env["AWS_LWA_PORT"] == env["PORT"]
    assert env["AWS_LWA_INVOKE_MODE"] == "response_stream"
    assert int(env["SHUTDOWN_S"]) <= LAMBDA_S


def test_lambda_may_stand_still() -> None:
    """Lambda freezes the server between requests; gunicorn does not take that for a worker that hangs."""
    env = Dockerfile(DEPLOY / "lambda" / "Dockerfile").env("streaming")
    assert "--timeout 0" in env["GUNICORN_CMD_ARGS"]


RAILWAY = {
    "build": {"builder": str, "dockerfilePath": str},
    "deploy": {
        "preDeployCommand": list,
        "healthcheckPath": str,
        "healthcheckTimeout": int,
        "overlapSeconds": int,
        "drainingSeconds": int,
        "restartPolicyType": str,
        "restartPolicyMaxRetries": int,
    },
}
"""https://docs.railway.com/config-as-code/reference, as of November 2026."""


def test_railway_takes_its_file() -> None:
    """railway.json has only fields that Railway has, each of its type, and names a Dockerfile that is there."""
    config = load(ROOT / "railway.json")
    assert config.pop("$schema") == "https://railway.com/railway.schema.json"
    assert {part: {name: type(value) for name, value in fields.items()} for part, fields in config.items()} == RAILWAY
    assert (ROOT / config["build"]["dockerfilePath"]).is_file()
    assert config["deploy"]["restartPolicyType"] in ("ON_FAILURE", "ALWAYS", "NEVER")


def test_railway_leaves_at_least_the_time_that_the_image_takes() -> None:
    """Railway kills at once unless it is told a time: it is told one that the image's SHUTDOWN_S fits into."""
    assert load(ROOT / "railway.json")["deploy"]["drainingSeconds"] >= int(
        Dockerfile(DEPLOY / "Dockerfile").env()["SHUTDOWN_S"]
    )


MIGRATES = {
    "heroku": lambda: (ROOT / "Procfile").read_text().splitlines()[0].removeprefix("release: ").split(),
    "railway": lambda: load(ROOT / "railway.json")["deploy"]["preDeployCommand"][0].split(),
    "compose": lambda: load(DEPLOY / "compose.yaml")["services"]["migrate"]["command"],
    "kubernetes": lambda: pod()["initContainers"][0]["command"],
}


@pytest.mark.parametrize("host", MIGRATES)
def test_every_host_migrates_before_it_serves(host: str) -> None:
    """The database is brought up to date by one command, everywhere the same."""
    assert MIGRATES[host]() == ["python", "-m", "app.cli.migrate"]


HOSTS = ("heroku", "docker", "railway", "cloud-run", "lambda", "kubernetes")


@pytest.mark.parametrize("host", HOSTS)
def test_every_host_has_a_page(host: str) -> None:
    """Whoever chooses a host finds its page from the README and from the overview, with its limits and its faults."""
    page = (ROOT / "docs" / f"deploy-{host}.md").read_text()
    for heading in ("\n## Limits\n", "\n## When it does not work\n", "\n## Sources\n"):
        assert heading in page
    assert f"(deploy-{host}.md" in (ROOT / "docs" / "deploy.md").read_text()
    assert f"(docs/deploy-{host}.md" in (ROOT / "README.md").read_text()


def test_add_ons_are_a_choice() -> None:
    """Heroku's button makes a server that costs no database: what app.json names in `addons` nobody can decline."""
    assert "addons" not in json.loads((ROOT / "app.json").read_text())
