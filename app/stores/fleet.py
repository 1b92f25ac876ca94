"""The workers of one Valkey: who has claimed what, as keys; and what they tell each other, by its publishing.

Each worker subscribes to two channels, its own and that of all, in a greenlet with a connection of its own. Publishing
tells how many heard it, so that a worker whose process or connection is gone is known by the next message to it.
"""

import contextlib
import os
import time
import uuid
from collections.abc import Callable
from typing import Any

import gevent
import redis
from gevent.queue import Full, Queue
from redis.client import PubSub
from redis.commands.core import Script

from app.domain.errors import StoreDown
from app.stores.valkey import Valkey

CLAIM = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] and holder ~= ARGV[2] then return holder end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return ARGV[1]
"""
"""Takes the key for ARGV[1] if nobody has it, or ARGV[2]; returns who has it."""

QUIET_S = 5.0
"""After so long without a message the connection is tried; after as long without an answer it is made anew."""

PAUSE_S = 0.5
"""Between two attempts to subscribe."""

MOST_UNSENT = 1000

ALL = "all"

Work = Callable[[redis.Redis], Any]


class ValkeyFleet:
    """A domain.ports.Fleet."""

    def __init__(self, store: Valkey, version: str) -> None:
        """Take the store, and what this worker and others must have in common to understand each other."""
        self.name = ""
        self.is_listening = False
        self._store = store
        self._prefix = f"glottis:{version}:"
        # Databases have keys of their own, but channels are the whole server's.
        self._channels = f"glottis:{version}:{store.database}:"
        self._claim: Script | None = None
        self._unsent: Queue[Work] = Queue(MOST_UNSENT)
        self._process = 0

    def listen(self, take: Callable[[bytes], None], begun: Callable[[], None]) -> None:
        """See domain.ports.Fleet."""
        if self._process != os.getpid():  # the application may have been loaded before the workers were forked
            self._process = os.getpid()
            self.name = uuid.uuid4().hex[:16]
            gevent.spawn(self._hear, take, begun)
            gevent.spawn(self._send)

    def claim(self, key: str, ttl_s: float, instead_of: str = "") -> str:
        """See domain.ports.Fleet."""

        def work(client: redis.Redis) -> bytes:
            if self._claim is None:
                self._claim = client.register_script(CLAIM)
            arguments: list[str | int] = [self.name, instead_of, max(1, round(ttl_s * 1000))]
            holder: bytes = self._claim(keys=[self._prefix + key], args=arguments, client=client)
            return holder

        try:
            return self._store.run(work).decode()
        except StoreDown:
            return self.name

    def release(self, key: str) -> None:
        """See domain.ports.Fleet."""
        self._later(lambda client: client.delete(self._prefix + key))

    def tell(self, worker: str, message: bytes) -> bool:
        """See domain.ports.Fleet."""
        try:
            return self._store.run(lambda client: client.publish(self._channels + worker, message)) > 0
        except StoreDown:
            return False

    def tell_all(self, message: bytes) -> None:
        """See domain.ports.Fleet."""
        self._later(lambda client: client.publish(self._channels + ALL, message))

    def _later(self, work: Work) -> None:
        with contextlib.suppress(Full):
            self._unsent.put_nowait(work)

    def _send(self) -> None:
        while True:
            work = self._unsent.get()
            with contextlib.suppress(StoreDown):
                self._store.run(work)

    def _hear(self, take: Callable[[bytes], None], begun: Callable[[], None]) -> None:
        while True:
            if self._store.is_up:
                with contextlib.suppress(redis.RedisError), contextlib.closing(self._store.subscription()) as heard:
                    self._hear_on(heard, take, begun)
                self.is_listening = False
            gevent.sleep(PAUSE_S)

    def _hear_on(self, heard: PubSub, take: Callable[[bytes], None], begun: Callable[[], None]) -> None:
        """Hear until the connection breaks; raises RedisError."""
        heard.subscribe(self._channels + self.name, self._channels + ALL)
        heard_at = time.monotonic()
        while True:
            message = heard.get_message(timeout=QUIET_S)
            now = time.monotonic()
            if message is None:
                if now - heard_at > 2 * QUIET_S:
                    return
                heard.ping()
                continue
            heard_at = now
            if message["type"] == "message":
                take(message["data"])
            elif message["type"] == "subscribe" and message["data"] == 2:
                self.is_listening = True
                begun()
