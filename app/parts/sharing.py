"""What turns share: the store, and on it or in memory limits, cached answers and what workers tell each other."""

from typing import TYPE_CHECKING

from app.api import limits
from app.domain.ports import Cache, Fleet, Limiter
from app.engine.messages import VERSION
from app.settings import Settings
from app.settings.store import StoreSettings
from app.stores.memory_cache import MemoryCache

if TYPE_CHECKING:
    from app.stores.valkey import Valkey


def store_of(settings: StoreSettings) -> "Valkey | None":
    """Return the Valkey or Redis that all workers and machines share, if there is one."""
    if settings.url is None:
        return None
    from app.stores.valkey import Valkey  # 9 MB and 0.1 s, for those who have one

    return Valkey(settings.url, verify=settings.verify, timeout_s=settings.timeout_s)


def gate_of(settings: Settings, store: "Valkey | None") -> limits.Gate | None:
    """Return what turns must pass, if there are limits."""
    routes = {name: route.limits for name, route in settings.routes.items() if route.limits}
    if not (settings.limits or routes):
        return None
    return limits.Gate(_limiter(store), settings.limits, routes, fail_closed=settings.store.fail_closed)


def _limiter(store: "Valkey | None") -> Limiter:
    if store is None:
        from app.stores.memory_limits import LocalLimits

        return LocalLimits()
    from app.stores.limits import SharedLimits

    return SharedLimits(store)


def cache_of(settings: Settings, store: "Valkey | None") -> Cache | None:
    """Return what keeps answers, if a route has a cache."""
    if not any(route.cache_ttl_s for route in settings.routes.values()):
        return None
    if store is None:
        return MemoryCache(settings.cache.max_entries, settings.cache.max_bytes)
    from app.stores.cache import ValkeyCache

    return ValkeyCache(store)


def fleet_of(store: "Valkey | None") -> Fleet | None:
    """Return what tells the other workers and machines of this one, if they share a store."""
    if store is None:
        return None
    from app.stores.fleet import ValkeyFleet

    return ValkeyFleet(store, VERSION)
