"""GET /metrics: the figures of all workers, for Prometheus. It is there only where METRICS switches it on."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

from flask import Blueprint, Flask, Response, current_app, request

from app.api.auth import public, sent_key
from app.domain.errors import AddressRefused, InvalidKey
from app.settings.metrics import MetricsSettings

if TYPE_CHECKING:
    from app.telemetry.metrics import Metrics

blueprint = Blueprint("metrics", __name__)

FORWARDED = ("X-Forwarded-For", "X-Real-IP", "Forwarded")
"""What a proxy adds. Where none is trusted, the address that one sees is the proxy's, and says nothing of who asks."""


@blueprint.get("/metrics")
@public  # it has a key of its own
def metrics() -> Response:
    """Tell Prometheus what happened, in its text format or in OpenMetrics."""
    _require_leave(current_app.config["METRICS"])
    body, content_type = current_app.extensions["glottis.metrics"].exposition(request.headers.get("Accept", ""))
    return Response(body, content_type=content_type)


def init_app(app: Flask, settings: MetricsSettings, measured: "Metrics") -> None:
    """Serve these metrics to those that the settings let in."""
    app.config["METRICS"] = settings
    app.extensions["glottis.metrics"] = measured
    app.register_blueprint(blueprint)


def _require_leave(settings: MetricsSettings) -> None:
    if settings.keys and sent_key(request.environ, settings.keys) is None:
        raise InvalidKey("Missing or incorrect key. Send METRICS_KEY as 'Authorization: Bearer KEY'.")
    if settings.networks is None:
        return
    client = _client()
    if client is None or not any(client in network for network in settings.networks):
        raise AddressRefused("Metrics are not for this address: see METRICS_ALLOW and METRICS_KEY.")


def _client() -> IPv4Address | IPv6Address | None:
    """Return the client's address; None if a proxy hides it, or if there is none, as on a Unix socket."""
    if "werkzeug.proxy_fix.orig" not in request.environ and any(header in request.headers for header in FORWARDED):
        return None
    try:
        address = ip_address(request.remote_addr or "")
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
