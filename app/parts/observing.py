"""Who hears of turns beside the log: metrics, traces, the record in SQL; and what they cost."""

from typing import TYPE_CHECKING

from app.parts.providers import vendors_of
from app.providers.registry import DEFAULT_URLS
from app.settings import Settings, SettingsError
from app.settings.records import RecordsSettings
from app.telemetry import logs
from app.telemetry.prices import PriceList

if TYPE_CHECKING:
    from app.stores.records.records import Records
    from app.telemetry.metrics import Metrics
    from app.telemetry.traces import Traces


def prices_of(settings: Settings) -> PriceList:
    """Return what turns cost."""
    return PriceList({name: vendor.base_url for name, vendor in vendors_of(settings).items()})


def metrics_of(settings: Settings) -> "Metrics | None":
    """Return what counts for Prometheus, if anybody asks for it."""
    if not settings.metrics.on:
        return None
    from app.telemetry.metrics import Metrics  # 1 MB and 20 ms, for those who ask for it

    targets = {str(target) for route in settings.routes.values() for target in route.targets}
    return Metrics(settings.routes, targets)


def traces_of(settings: Settings) -> "Traces | None":
    """Return what makes spans, if there is a collector."""
    if not settings.traces.is_on:
        return None
    from app.telemetry.spans import Spans
    from app.telemetry.traces import Traces

    how, vendors = settings.traces, vendors_of(settings)
    base_urls = {name: vendor.base_url or DEFAULT_URLS[vendor.kind] for name, vendor in vendors.items()}
    return Traces(Spans(base_urls, ratio=how.ratio, follows_caller=how.follows_caller))


def records_of(settings: RecordsSettings) -> "Records | None":
    """Return what keeps a row for each turn, if that is on; raises SettingsError for a file that cannot be used."""
    if not settings.on:
        return None
    from app.stores.records.records import open_records  # with SQLAlchemy, for those alone who record turns
    from app.stores.records.schema import SchemaError

    try:
        return open_records(
            settings.database_url, settings.path, queue=settings.queue, kept_days=settings.kept_days, log=logs.log
        )
    except SchemaError as error:
        raise SettingsError([f"RECORDS_PATH: {settings.path} cannot be used: {error}"]) from error
