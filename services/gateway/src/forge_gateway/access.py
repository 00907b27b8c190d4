"""Who may ask: holders of a key, or, where there are no keys, programs on this machine, but not web pages in its browser."""

from __future__ import annotations

from hashlib import sha256
from ipaddress import ip_address
from urllib.parse import urlsplit

from forge_common.errors import Forbidden
from forge_common.http.proxy import RequestHead


class KeyMissing(Forbidden):
    status = 401


class KeyUnknown(Forbidden):
    status = 401


class ForeignPage(Forbidden):
    """A web page, or a name that another machine made point here."""


class Access:
    """Keys are kept and compared as digests, so that neither time nor memory tells of them."""

    def __init__(self, keys: frozenset[str]) -> None:
        self._digests = frozenset(sha256(key.encode()).digest() for key in keys)

    @property
    def needs_key(self) -> bool:
        return bool(self._digests)

    def check(self, head: RequestHead) -> None:
        """Raises KeyMissing, KeyUnknown or ForeignPage."""
        if self._digests:
            self._check_key(head)
        else:
            _check_is_local(head)

    def _check_key(self, head: RequestHead) -> None:
        key = _key(head)
        if not key:
            raise KeyMissing(
                "no API key was sent",
                code="invalid_api_key",
                fix="send it as `Authorization: Bearer KEY` or as `x-api-key: KEY`",
            )
        if sha256(key).digest() not in self._digests:
            raise KeyUnknown(
                "the API key is not known here",
                code="invalid_api_key",
                fix="use one of FORGE_API_KEYS or api-keys.txt",
            )


def _key(head: RequestHead) -> bytes:
    scheme, _, token = (head.get(b"authorization") or b"").partition(b" ")
    if scheme.lower() == b"bearer" and token.strip():
        return token.strip()
    return head.get(b"x-api-key") or b""


def _check_is_local(head: RequestHead) -> None:
    """Without keys, a page could reach us by a form, or by a name of its own that resolves to 127.0.0.1."""
    host = head.get(b"host")
    origin = head.get(b"origin")
    if host is not None and not _is_loopback(urlsplit(f"//{host.decode('latin-1')}").hostname):
        raise ForeignPage("without keys the gateway answers only to localhost", fix="set FORGE_API_KEYS")
    if origin is not None and not _is_loopback(urlsplit(origin.decode("latin-1")).hostname):
        raise ForeignPage("without keys the gateway answers no web pages", fix="set FORGE_API_KEYS")


def _is_loopback(host: str | None) -> bool:
    if host is None:
        return False
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
