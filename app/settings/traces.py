"""What the environment says of traces, by the names that OpenTelemetry gave these variables; its SDK reads the rest."""

from environs import Env
from marshmallow import ValidationError, validate
from msgspec import Struct

from app.settings.environment import url_or_empty

SAMPLERS = ("always_on", "always_off", "traceidratio")
FOLLOWING = "parentbased_"
"""Before the name of a sampler: that it is asked only where no caller's own trace says whether to be traced."""


class TraceSettings(Struct, frozen=True):
    """Whether spans are made, of how many turns (0 to 1), and whether a caller's `traceparent` decides for its turn."""

    is_on: bool = False
    ratio: float = 1.0
    follows_caller: bool = True


def read(env: Env) -> TraceSettings:
    """Return the settings of traces; where they are off, nothing else is looked at."""
    general = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", "", validate=url_or_empty)
    own = env.str("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "", validate=url_or_empty)
    is_disabled = (env.str("OTEL_SDK_DISABLED", "") or "").strip().lower() == "true"
    if is_disabled or not (general or own):
        return TraceSettings()
    env.str("OTEL_EXPORTER_OTLP_PROTOCOL", "", validate=_spoken)
    named = env.str("OTEL_TRACES_SAMPLER", "", validate=_known_or_empty) or "parentbased_always_on"
    ratio = float(env.str("OTEL_TRACES_SAMPLER_ARG", "", validate=_ratio_or_empty) or 1.0)
    sampler = named.removeprefix(FOLLOWING)
    return TraceSettings(
        is_on=True,
        ratio={"always_on": 1.0, "always_off": 0.0}.get(sampler, ratio),
        follows_caller=sampler != named,
    )


def _spoken(text: str) -> None:
    if text not in ("", "http/protobuf"):
        raise ValidationError("Must be http/protobuf, which a collector takes on port 4318.")


def _known_or_empty(text: str) -> None:
    validate.OneOf(["", *SAMPLERS, *(FOLLOWING + name for name in SAMPLERS)])(text)


def _ratio_or_empty(text: str) -> None:
    try:
        ratio = float(text or 1.0)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise ValidationError("Expected a number from 0 to 1.")
