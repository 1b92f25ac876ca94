"""Who may ask for the metrics, as the environment says it."""

from ipaddress import ip_network

import pytest
from environs import Env, EnvValidationError

from app.settings.metrics import LOOPBACK, MetricsSettings, read

CLUSTER = ip_network("10.0.0.0/8")


def settings(monkeypatch: pytest.MonkeyPatch, **env: str) -> MetricsSettings:
    """Read them from this environment."""
    for name in ("METRICS", "METRICS_KEY", "METRICS_ALLOW"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    variables = Env(eager=False)
    found = read(variables)
    variables.seal()
    return found


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, MetricsSettings(on=False)),
        ({"METRICS": "true"}, MetricsSettings(on=True, networks=LOOPBACK)),
        ({"METRICS_KEY": "one, two,"}, MetricsSettings(on=True, keys=("one", "two"), networks=None)),
        ({"METRICS_KEY": " , "}, MetricsSettings(on=False)),
        ({"METRICS_ALLOW": "10.0.0.0/8, ::1"}, MetricsSettings(on=True, networks=(CLUSTER, ip_network("::1/128")))),
        (
            {"METRICS_KEY": "one", "METRICS_ALLOW": "10.0.0.0/8"},
            MetricsSettings(on=True, keys=("one",), networks=(CLUSTER,)),
        ),
        ({"METRICS": "false", "METRICS_KEY": "one"}, MetricsSettings(on=False, keys=("one",), networks=None)),
    ],
)
def test_who_may_ask(monkeypatch: pytest.MonkeyPatch, env: dict[str, str], expected: MetricsSettings) -> None:
    """Off unless asked for; with nothing that guards them, this machine alone."""
    assert settings(monkeypatch, **env) == expected


@pytest.mark.parametrize("text", ["everywhere", "10.0.0.0/33", "10.0.0.1/8"])
def test_what_is_no_network(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A network that is none stops the boot, and the value, which may be a key, is not repeated."""
    with pytest.raises(EnvValidationError) as caught:
        settings(monkeypatch, METRICS_ALLOW=text)
    reasons = str(caught.value.error_messages)
    assert "METRICS_ALLOW" in reasons
    assert "10.0.0.0/8" in reasons
    assert text not in reasons
