"""The vocabulary of the proxy: what a route is asked, what it may answer, and who may watch. No I/O."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeAlias
from urllib.parse import urlsplit

from forge_common.errors import ForgeError, Invalid
from forge_common.http.proxy.dialects import Dialect, error_body

Header: TypeAlias = tuple[bytes, bytes]
Held: TypeAlias = "asyncio.Future[None]"

_PORTS = {"http": 80, "https": 443}


@dataclass(slots=True)
class RequestHead:
    """A request without its body, as the client sent it: header names keep their case, their order and their bytes."""

    method: str
    target: bytes
    """Path and query, percent-encoding untouched; what stands before the path in absolute form is gone."""
    headers: list[Header]
    fields: Mapping[bytes, bytes]
    """By lower-case name; the first value where a name occurs twice."""
    version: str
    client: tuple[str, int] | None
    content_length: int | None
    """None when the body is chunked."""
    has_body: bool

    @property
    def path(self) -> str:
        return self.target.partition(b"?")[0].decode("latin-1")

    @property
    def query(self) -> bytes:
        return self.target.partition(b"?")[2]

    def get(self, name: bytes) -> bytes | None:
        """`name` in lower case."""
        return self.fields.get(name)


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a request goes. `path_prefix` is put before the target and has no slash at its end."""

    scheme: str
    host: str
    port: int
    path_prefix: str = ""
    # Made once, since they are needed for each request.
    key: tuple[str, str, int] = field(init=False, repr=False, compare=False)
    prefix: bytes = field(init=False, repr=False, compare=False)
    authority: bytes = field(init=False, repr=False, compare=False)
    """The Host header: the port is left out where it is the scheme's own."""
    origin: str = field(init=False, repr=False, compare=False)
    """`https://host:443`: who it is, whatever path and prefix."""

    def __post_init__(self) -> None:
        host = f"[{self.host}]" if ":" in self.host else self.host
        authority = host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"
        object.__setattr__(self, "key", (self.scheme, self.host, self.port))
        object.__setattr__(self, "origin", f"{self.scheme}://{self.host}:{self.port}")
        object.__setattr__(self, "prefix", self.path_prefix.encode("ascii"))
        object.__setattr__(self, "authority", authority.encode("idna" if not host.isascii() else "ascii"))

    @classmethod
    def parse(cls, url: str) -> Upstream:
        """`http://host:port/prefix`. Raises Invalid for anything that is not an http(s) URL with a host."""
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS[parts.scheme]
        except (ValueError, KeyError):
            port = 0
        if not port or not parts.hostname:
            raise Invalid(f"{url!r} is not an http or https URL", fix="give it as http://host:port")
        return cls(parts.scheme, parts.hostname, port, parts.path.rstrip("/"))


class AbortReason(StrEnum):
    """Why an exchange did not end cleanly."""

    CLIENT_GONE = "client_gone"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_DIED = "upstream_died"
    UPSTREAM_TIMED_OUT = "upstream_timed_out"
    UPSTREAM_INVALID = "upstream_invalid"
    REQUEST_INVALID = "request_invalid"
    REQUEST_TOO_LARGE = "request_too_large"
    SHUTDOWN = "shutdown"


class Tap(Protocol):
    """Watches one exchange. It sees bodies as they pass (still content-encoded, never chunk-framed), each piece before it
    is written on. It must not block. When it raises it is dropped and counted, and the traffic goes on.

    Exactly one of `before_last_byte` and `on_abort` ends it. Where a tap returns a future, what it was just shown, and all
    that follows, is written to the client when that is done, or at last after Limits.hold_s.
    """

    def on_request_head(self, head: RequestHead) -> None: ...

    def on_request_body(self, data: bytes) -> None: ...

    def on_response_head(self, status: int, headers: Sequence[Header]) -> None:
        """The final status and headers as the upstream sent them; interim (1xx) ones are not shown."""

    def on_response_body(self, data: bytes) -> Held | None: ...

    def before_last_byte(self) -> Held | None:
        """The whole reply is known, and its last byte has not been written to the client."""

    def on_abort(self, reason: AbortReason) -> None: ...


@dataclass(frozen=True, slots=True)
class Refuse:
    """A finished reply made by this process."""

    status: int
    body: bytes = b""
    content_type: bytes = b"application/json"
    headers: tuple[Header, ...] = ()

    @classmethod
    def of(
        cls, error: ForgeError, dialect: Dialect = Dialect.OPENAI, headers: Iterable[Header] = ()
    ) -> Refuse:
        """The error in the caller's dialect, its fix included."""
        return cls(error.status, error_body(error, dialect), headers=tuple(headers))


ErrorRewrite: TypeAlias = Callable[[int, Sequence[Header], bytes], Refuse | None]


@dataclass(slots=True, kw_only=True)
class Forward:
    """Pass the request on and its reply back.

    `headers` are the end-to-end ones to send (None: the client's own); Host, framing and hop-by-hop headers are the
    core's business in either case. `body` replaces the client's own. `response_headers` are added to the reply.
    """

    upstream: Upstream
    target: bytes
    headers: Sequence[Header] | None = None
    body: bytes | None = None
    tap: Tap | None = None
    response_headers: Sequence[Header] = ()
    dialect: Dialect = Dialect.OPENAI
    unreachable: Refuse | None = None
    """Sent instead of the usual 502 when no connection to the upstream comes about."""
    rewrite_error: ErrorRewrite | None = None
    """Called with status, headers and whole body of a 4xx or 5xx reply of at most 1 MB; None passes it on as it is."""


@dataclass(frozen=True, slots=True)
class Local:
    """Handed to the ASGI app that this server was given."""


@dataclass(slots=True)
class NeedsBody:
    """The body is collected first (up to `max_bytes`, else Limits.collect_bytes; 413 beyond), then `decide` is asked."""

    decide: Callable[[bytes], Forward | Refuse]
    dialect: Dialect = Dialect.OPENAI
    max_bytes: int | None = None


Decision: TypeAlias = Forward | Local | Refuse | NeedsBody
Route: TypeAlias = Callable[[RequestHead], Decision]
"""Synchronous and quick: it runs in the event loop. A ForgeError that it raises becomes a Refuse."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds, sizes in bytes."""

    head_bytes: int = 65_536
    target_bytes: int = 16_384
    body_bytes: int = 256 * 1024 * 1024
    collect_bytes: int = 64 * 1024 * 1024
    head_s: float = 30.0
    """From the first byte of a request to the end of its head."""
    body_idle_s: float = 120.0
    keep_alive_s: float = 75.0
    connect_s: float = 10.0
    first_byte_s: float = 900.0
    """Generous: a model may be loading, and a long prompt is read before the first token."""
    between_bytes_s: float = 600.0
    client_stall_s: float = 600.0
    """A client that reads nothing for so long is cut off."""
    hold_s: float = 30.0
    """A tap that holds a reply back longer is not waited for."""
    hold_bytes: int = 8 * 1024 * 1024
    """Nor is it when so much of a reply waits."""
    idle_upstream_s: float = 30.0
    idle_upstreams: int = 64
    """Kept per upstream."""


@dataclass(slots=True)
class ProxyStats:
    """Counts since start."""

    connections: int = 0
    requests: int = 0
    refused: int = 0
    tap_failures: int = 0
    tap_overruns: int = 0
    upstream_connects: int = 0
    upstream_reuses: int = 0
    stale_retries: int = 0
    aborts: dict[AbortReason, int] = field(default_factory=dict)
