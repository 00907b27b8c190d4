"""The bridge from a turn to an ASGI app: what this process answers itself. HTTP and lifespan; no WebSockets."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import unquote

from forge_common.errors import ForgeError
from forge_common.http.proxy.messages import AbortReason, Refuse
from forge_common.http.proxy.turn import Turn
from forge_common.logging import get_logger

log = get_logger()

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

UNREAD_BYTES = 64 * 1024
# 2.3: the app learns of a disconnect by receive(); from 2.4 on only by a failing send(), too late for an idle stream.
_ASGI = {"version": "3.0", "spec_version": "2.3"}


class LifespanFailed(ForgeError):
    """The app refused to start."""


class LocalAnswer:
    """Answers a turn from an ASGI app."""

    def __init__(self, turn: Turn, app: AsgiApp, state: dict[str, Any]) -> None:
        self._turn = turn
        self._app = app
        self._state = state
        self._body: deque[bytes] = deque()
        self._unread = 0
        self._has_ended = False
        self._is_read = False
        self._is_gone = False
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._head: Message | None = None

    def begin(self, tasks: set[asyncio.Task[None]]) -> None:
        self._turn.take(self)
        task = asyncio.get_running_loop().create_task(self._run())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    # From the client

    def on_body(self, data: bytes) -> None:
        self._body.append(data)
        self._unread += len(data)
        if self._unread > UNREAD_BYTES:
            self._turn.hold_upload(True)
        self._news.set()

    def on_body_end(self) -> None:
        self._has_ended = True
        self._news.set()

    def on_fed(self) -> None:
        """The app's task runs later anyway."""

    def on_client_gone(self, reason: AbortReason) -> None:
        del reason
        self._is_gone = True
        self._news.set()
        self._writable.set()

    def on_writable(self, writable: bool) -> None:
        if writable:
            self._writable.set()
        else:
            self._writable.clear()

    def tick(self, now: float) -> None:
        """An app takes the time it takes."""

    # The app

    async def _run(self) -> None:
        try:
            await self._app(self._scope(), self._receive, self._send)
        except Exception:
            log.exception("request.crashed", path=self._turn.head.path)
        if self._turn.is_over:
            return
        if self._turn.started:
            self._turn.cut()
        else:
            self._turn.refuse(
                Refuse.of(ForgeError("the service failed to answer", code="bug", fix="see its log"))
            )

    def _scope(self) -> dict[str, Any]:
        head = self._turn.head
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": head.version,
            "method": head.method,
            "scheme": "http",
            "path": unquote(head.path),
            "raw_path": head.path.encode("latin-1"),
            "query_string": head.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in head.headers],
            "client": head.client[:2] if head.client else None,
            "server": None,
            "state": dict(self._state),
        }

    async def _receive(self) -> Message:
        if self._turn.expects_continue and not self._body and not self._has_ended:
            self._turn.interim(100, None)
        while not self._has_news():
            self._news.clear()
            await self._news.wait()
        if self._is_gone or self._turn.is_over:
            return {"type": "http.disconnect"}
        body = b"".join(self._body)
        self._body.clear()
        self._unread = 0
        self._turn.hold_upload(False)
        self._is_read = self._has_ended
        return {"type": "http.request", "body": body, "more_body": not self._has_ended}

    def _has_news(self) -> bool:
        if self._is_gone or self._turn.is_over:
            return True
        return bool(self._body) or (self._has_ended and not self._is_read)

    async def _send(self, message: Message) -> None:
        if self._is_gone or self._turn.is_over:
            return
        if message["type"] == "http.response.start":
            self._head = message
            return
        if message["type"] != "http.response.body":
            return
        if self._head is not None:
            self._start(self._head)
            self._head = None
        self._turn.write(message.get("body", b""))
        if message.get("more_body", False):
            self._turn.flush()
            await self._writable.wait()
        else:
            self._turn.end()
            self._news.set()

    def _start(self, head: Message) -> None:
        headers = [(bytes(name), bytes(value)) for name, value in head.get("headers", ())]
        has_length = any(name.lower() == b"content-length" for name, _ in headers)
        self._turn.start(head["status"], None, headers, has_length=has_length)


class Lifespan:
    """Runs an app's lifespan: `start()` returns when it is ready, `stop()` when it has let go."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self.state: dict[str, Any] = {}

    async def start(self) -> None:
        """Raises LifespanFailed with the app's own reason."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        answer = await self._ask("lifespan.startup")
        if answer["type"] == "lifespan.startup.failed":
            raise LifespanFailed(answer.get("message") or "the app refused to start")

    async def stop(self) -> None:
        if self._task is not None and not self._task.done():
            await self._ask("lifespan.shutdown")
            await self._task

    async def _ask(self, kind: str) -> Message:
        await self._inbox.put({"type": kind})
        return await self._answers.get()

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": _ASGI, "state": self.state}
        try:
            await self._app(scope, self._inbox.get, self._answers.put)
        except Exception as error:  # noqa: BLE001
            # Starlette has told the reason by then; an app that knows no lifespan raises at once.
            log.warning("lifespan.ended", reason=repr(error))
        await self._answers.put({"type": "lifespan.over"})
