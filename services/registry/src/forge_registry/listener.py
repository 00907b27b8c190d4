"""Wakes whoever waits in this process when another transaction commits news: one thread, one LISTEN connection.

Carries no facts, only "look again": after a reconnect everybody is woken, so nothing can be missed.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import make_url

from forge_common.logging import get_logger
from forge_registry.outbox import CHANNEL

log = get_logger()

_STOP = "stop"
_LONGEST_PAUSE_S = 5.0

Wake = Callable[[], None]


class Listener(threading.Thread):
    """Started and stopped with the app. Watchers are called from its thread and must not block."""

    def __init__(self, database_url: str) -> None:
        super().__init__(name="listener", daemon=True)
        url = make_url(database_url).set(drivername="postgresql")
        self._dsn = url.render_as_string(hide_password=False)
        self._watchers: defaultdict[str, set[Wake]] = defaultdict(set)
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    @contextmanager
    def watch(self, topic: str, wake: Wake) -> Iterator[None]:
        with self._lock:
            self._watchers[topic].add(wake)
        try:
            yield
        finally:
            with self._lock:
                self._watchers[topic].discard(wake)
                if not self._watchers[topic]:
                    del self._watchers[topic]

    @contextmanager
    def watch_async(self, topic: str) -> Iterator[asyncio.Event]:
        """The event is set, in the caller's loop, whenever there is news."""
        loop, event = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

        with self.watch(topic, wake):
            yield event

    def stop(self) -> None:
        """Ends the thread; it is woken by a notification of its own, as everybody else is."""
        self._stopping.set()
        try:
            with psycopg.connect(self._dsn, connect_timeout=2, autocommit=True) as connection:
                connection.execute("select pg_notify(%s, %s)", (CHANNEL, _STOP))
        except psycopg.Error:
            return  # Postgres is away: the thread is a daemon and ends with the process
        self.join(timeout=5)

    def run(self) -> None:
        pause = 0.1
        while not self._stopping.is_set():
            try:
                self._listen()
                pause = 0.1
            except psycopg.Error as error:
                log.warning("listener.disconnected", reason=str(error).strip())
                self._stopping.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)

    def _listen(self) -> None:
        with psycopg.connect(self._dsn, connect_timeout=5, keepalives_idle=30, autocommit=True) as connection:
            connection.execute(f"listen {CHANNEL}")
            self._wake_all()
            for notice in connection.notifies():
                if self._stopping.is_set():
                    return
                self._wake(notice.payload)

    def _wake(self, topic: str) -> None:
        with self._lock:
            watchers = list(self._watchers.get(topic, ()))
        for wake in watchers:
            wake()

    def _wake_all(self) -> None:
        with self._lock:
            watchers = [wake for wakes in self._watchers.values() for wake in wakes]
        for wake in watchers:
            wake()
