"""Header blocks as they go on the wire: what is hop-by-hop (RFC 9110 §7.6.1) stays behind, all else keeps its bytes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from http import HTTPStatus

from forge_common.http.proxy.messages import Header

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_REQUEST_DROPS = HOP_BY_HOP | {b"host"}
_FRAMING = frozenset({b"content-length", b"expect"})

CHUNKED = b"Transfer-Encoding: chunked\r\n"
LAST_CHUNK = b"0\r\n\r\n"
CLOSE = b"Connection: close\r\n"
KEEP_ALIVE = b"Connection: keep-alive\r\n"

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


def request_block(
    method: str,
    target: bytes,
    authority: bytes,
    headers: Iterable[Header],
    *,
    drops: frozenset[bytes],
    framing: bytes,
) -> bytes:
    """A whole request head, HTTP/1.1. `framing` is a finished header line or empty."""
    parts = [b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (method.encode("ascii"), target, authority)]
    parts += [b"%b: %b\r\n" % header for header in headers if header[0].lower() not in drops]
    parts.append(framing)
    parts.append(b"\r\n")
    return b"".join(parts)


@lru_cache(maxsize=64)
def request_drops(connection: bytes | None, *, reframed: bool) -> frozenset[bytes]:
    """Names that are not sent on. `reframed`: the body is ours, so the client's length and expectation do not hold."""
    drops = _REQUEST_DROPS | _FRAMING if reframed else _REQUEST_DROPS
    return drops | _nominated(connection) if connection else drops


def response_block(
    status: int, reason: bytes | None, headers: Sequence[Header], *, drops: frozenset[bytes], added: bytes
) -> bytes:
    """A whole response head. `added` are finished header lines."""
    parts = [status_line(status, reason)]
    parts += [b"%b: %b\r\n" % header for header in headers if header[0].lower() not in drops]
    parts.append(added)
    parts.append(b"\r\n")
    return b"".join(parts)


@lru_cache(maxsize=64)
def response_drops(connection: bytes | None) -> frozenset[bytes]:
    return HOP_BY_HOP | _nominated(connection) if connection else HOP_BY_HOP


def status_line(status: int, reason: bytes | None) -> bytes:
    """The upstream's own reason phrase, else the registered one."""
    if reason is None:
        return _STATUS_LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status
    return b"HTTP/1.1 %d %b\r\n" % (status, reason)


def header_lines(headers: Sequence[Header]) -> bytes:
    """Raises ValueError for a line break in a name or value: it would make two headers of one."""
    if not headers:
        return b""
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    if not lines.count(b"\n") == lines.count(b"\r") == len(headers):
        raise ValueError("a header holds a line break")
    return lines


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _nominated(connection: bytes) -> frozenset[bytes]:
    tokens = {token.strip().lower() for token in connection.split(b",")}
    # A client must not be able to strip what the reply's meaning depends on.
    return frozenset(tokens - {b"content-length", b"content-type", b"content-encoding", b"host"})
