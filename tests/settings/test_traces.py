"""The settings of traces: OpenTelemetry's own variables, and what they come to."""

import os

import pytest
from environs import Env, EnvValidationError

from app.settings.traces import TraceSettings, read

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


def load(monkeypatch: pytest.MonkeyPatch, **variables: str) -> TraceSettings:
    """Read an environment that has of OpenTelemetry's variables only these; raises EnvValidationError."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    env = Env(eager=False)
    traces = read(env)
    env.seal()
    return traces


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {**ENDPOINT, "OTEL_SDK_DISABLED": "true"},
        {"OTEL_TRACES_SAMPLER": "always_on", "OTEL_SERVICE_NAME": "glottis"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_TRACES_SAMPLER": "jaeger_remote"},
    ],
    ids=["nothing", "empty", "disabled", "no-endpoint", "another's"],
)
def test_off(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """Only an endpoint switches traces on; where they are off, the other variables may say what they like."""
    assert load(monkeypatch, **variables) == TraceSettings(is_on=False)


@pytest.mark.parametrize(
    ("sampler", "argument", "ratio", "follows_caller"),
    [
        ("", "", 1.0, True),
        ("always_on", "0.2", 1.0, False),
        ("always_off", "", 0.0, False),
        ("traceidratio", "0.2", 0.2, False),
        ("traceidratio", "", 1.0, False),
        ("parentbased_always_on", "", 1.0, True),
        ("parentbased_always_off", "", 0.0, True),
        ("parentbased_traceidratio", "0", 0.0, True),
    ],
)
def test_samplers(
    monkeypatch: pytest.MonkeyPatch, sampler: str, argument: str, ratio: float, follows_caller: bool
) -> None:
    """Every sampler of the specification is taken, with its argument."""
    variables = ENDPOINT | {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument}
    assert load(monkeypatch, **variables) == TraceSettings(is_on=True, ratio=ratio, follows_caller=follows_caller)


def test_an_endpoint_for_traces_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is enough."""
    assert load(monkeypatch, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="https://collector.example/v1/traces").is_on


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_TRACES_SAMPLER_ARG", "some"),
        ("OTEL_TRACES_SAMPLER_ARG", "nan"),
    ],
)
def test_mistakes_are_told_at_boot(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A value under which no span would ever arrive is told by its variable's name."""
    with pytest.raises(EnvValidationError) as caught:
        load(monkeypatch, **{**ENDPOINT, name: value})
    assert list(caught.value.error_messages) == [name]
