"""The connection to Valkey or Redis: one client for a process, which no turn waits long for.

    store.run(lambda client: client.get(...))      the work's result, or StoreDown

A store that fails, or is silent for too long, counts as down at once: whoever asks then gets StoreDown without a wait,
and a greenlet asks every PROBE_S until it is back. The log is told twice: when it goes down, and when it is back.

No connection is made before the first use, so that none is shared by the workers of a preloaded application; redis-py's
pool is emptied in a fork all the same. 0.17 ms of CPU for a call and its reply, on a slow machine.
"""

import logging
import ssl
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import gevent
import redis
from gevent.lock import BoundedSemaphore
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from app.domain.errors import StoreDown

LOGGER = logging.getLogger("glottis")

TIMEOUT_S = 0.2
LAST_LOOK_S = 0.001

PROBE_S = 1.0
PROBE = "glottis:probe"

CONNECTIONS = 6
"""For a process, beside the one that probes. Hosts count them: Heroku's smallest store takes 20."""

Result = TypeVar("Result")


class Valkey:
    """The store at an address; see domain.ports.Store."""

    def __init__(self, url: str, *, verify: bool = True, timeout_s: float = TIMEOUT_S) -> None:
        """Take the address, `redis://` or `rediss://`, whether a certificate there is verified, and how long to wait.

        `timeout_s` holds for connecting and for a reply, each.
        """
        self.is_up = True
        self.failures = 0
        self.database = int(urlsplit(url).path.strip("/") or 0)
        self._new_client = partial(_client, url, verify=verify, timeout_s=timeout_s)
        self._client = self._new_client()
        self._slots = BoundedSemaphore(CONNECTIONS)

    def run(self, work: Callable[[redis.Redis], Result]) -> Result:
        """Return what the work does with the client; raises StoreDown. The work may be done although it raises."""
        if self.is_up:
            with self._slots:
                if self.is_up:  # it may have gone down while this one waited
                    try:
                        return work(self._client)
                    except redis.RedisError as error:
                        self._went_down(error)
        self.failures += 1
        raise StoreDown

    def ping(self) -> bool:
        """Whether it answers now; see domain.ports.Store."""
        try:
            self.run(_probe)
        except StoreDown:
            return False
        return True

    def subscription(self) -> PubSub:
        """Return a subscription, with a connection of its own that is made at the first use."""
        subscription: PubSub = self._new_client().pubsub()  # type: ignore[no-untyped-call]
        return subscription

    def _went_down(self, error: redis.RedisError) -> None:
        if not self.is_up:
            return
        self.is_up = False
        # Only these say nothing of what was sent.
        detail = str(error) if isinstance(error, redis.ConnectionError | redis.TimeoutError) else None
        fields = {"error": type(error).__name__, "detail": detail}
        LOGGER.error("store_down", extra={"fields": fields})
        gevent.spawn(self._wait_for_it)

    def _wait_for_it(self) -> None:
        began_at = time.monotonic()
        while not self.is_up:
            gevent.sleep(PROBE_S)
            try:
                # Addresses may lead elsewhere now, and an old connection to a server that only reads.
                self._client.connection_pool.disconnect()
                _probe(self._client)
            except redis.RedisError:
                continue
            self.is_up = True
        down_s = round(time.monotonic() - began_at, 1)
        LOGGER.warning("store_up", extra={"fields": {"down_s": down_s, "failures": self.failures}})


def _probe(client: redis.Redis) -> None:
    """Write something: a full store, or one that has become a replica, still answers a ping."""
    client.set(PROBE, 1, ex=60)


class _Patient(redis.Connection):
    """A connection that is not taken for silent when this process was too busy to listen."""

    def connect(self) -> None:
        began_at = time.monotonic()
        try:
            super().connect()  # type: ignore[no-untyped-call] # redis-py is typed in part
        except redis.TimeoutError:
            if time.monotonic() - began_at < 2 * (self.socket_connect_timeout or 0.0):
                raise
            super().connect()  # type: ignore[no-untyped-call]

    def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return super().read_response(*args, **options | {"disconnect_on_error": False})
        except redis.ResponseError:
            raise
        except redis.TimeoutError:
            # The reply may lie there: the timer was merely looked at first.
            return super().read_response(*args, **options | {"timeout": LAST_LOOK_S})
        except BaseException:
            self.disconnect()  # type: ignore[no-untyped-call]
            raise


class _Secured(_Patient, redis.SSLConnection):
    """The same over TLS, with one context for all: making one reads every root certificate there is."""

    def __init__(self, *, context: ssl.SSLContext, **options: Any) -> None:
        self._context = context
        super().__init__(**options)

    def _wrap_socket_with_ssl(self, sock: Any) -> Any:
        return self._context.wrap_socket(sock, server_hostname=self.host)


def _client(url: str, *, verify: bool, timeout_s: float) -> redis.Redis:
    options: dict[str, Any] = {"connection_class": _Patient}
    if url.startswith("rediss:"):
        options = {"connection_class": _Secured, "context": _context(verify=verify)}
        url = url.replace("rediss:", "redis:", 1)  # which would choose redis-py's own class
    pool = redis.ConnectionPool.from_url(
        url,
        **options,
        max_connections=CONNECTIONS + 1,  # and one for the probe
        socket_connect_timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        driver_info=None,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    return redis.Redis(connection_pool=pool)


def _context(*, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
