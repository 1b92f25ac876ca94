"""METRICS and what guards them: whether /metrics is served, to which key, and to which addresses."""

from ipaddress import IPv4Network, IPv6Network, ip_network

from environs import Env
from marshmallow import ValidationError
from msgspec import Struct

from app.domain.config import Secret
from app.settings.environment import entries

Network = IPv4Network | IPv6Network

LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


class MetricsSettings(Struct, frozen=True, kw_only=True):
    """Whoever asks must send one of `keys`, if there are any, and come from one of `networks`, if they are not None."""

    on: bool = False
    keys: tuple[Secret, ...] = ()
    networks: tuple[Network, ...] | None = LOOPBACK


def read(env: Env) -> MetricsSettings:
    """Read them; without a key and without networks only this machine may ask."""
    keys = tuple(map(Secret, entries(env.str("METRICS_KEY", ""))))
    networks = tuple(_networks(env.str("METRICS_ALLOW", "", validate=_is_list_of_networks)))
    return MetricsSettings(
        on=env.bool("METRICS", bool(keys or networks)),
        keys=keys,
        networks=networks or (None if keys else LOOPBACK),
    )


def _networks(text: str | None) -> list[Network]:
    return [ip_network(entry) for entry in entries(text)]


def _is_list_of_networks(text: str) -> None:
    try:
        _networks(text)
    except ValueError:
        raise ValidationError("Expected networks between commas, as 10.0.0.0/8,127.0.0.1.") from None
