"""Which request goes where: our own API, an upstream with a tap, or nowhere. Pure; called in the event loop.

Paths may begin with `/k/{key}`, `/d/{domain}` and a dialect's name, in this order; all are optional and taken off.
Without a dialect's name the path decides, and for paths that two dialects share, the headers.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

from forge_collector.capture import Capture
from forge_collector.dialects.dialect import Dialect, Form
from forge_collector.recorder import Context, Recorder, new_exchange_id
from forge_common.errors import Forbidden, Invalid, NotFound
from forge_common.http.proxy import Decision, Forward, Header, Local, RequestHead, Upstream
from forge_common.http.proxy import Dialect as ErrorDialect

OWN_API = "/forge"
_OWN_TARGET = OWN_API.encode()
_PREFIXES = re.compile(rb"(?:/k/(?P<key>[^/?]+))?(?:/d/(?P<domain>[^/?]+))?")
_NAMED = re.compile(rb"/(?P<name>openai|anthropic|ollama|engie)(?P<rest>(?:[/?].*)?)\Z")
# By the longest path that fits; `/v1` and `/api` are Anthropic's as well, and its clients say so in a header.
_OWNERS = (
    (re.compile(rb"/v1/messages(?![^/?])"), "anthropic"),
    (re.compile(rb"/v1/sessions(?![^/?])|/(?:invoke(?:/stream)?|status|cancel|health)(?:\?|$)"), "engie"),
    (re.compile(rb"/api/"), "ollama"),
    (re.compile(rb"/v1(?![^/?])"), "openai"),
    (re.compile(rb"/?(?:\?|$)"), "anthropic"),
)
_ANTHROPIC_TOO = frozenset({"openai", "ollama", "engie"})
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_CONVERSATION = re.compile(rb"[\x21-\x7e]{1,128}")


# Paths come from callers, so what is remembered of them is bounded.
_MOST_REMEMBERED, _LONGEST_REMEMBERED = 1024, 256
_OURS = b"x-forge-"


class KeyRequired(Forbidden):
    status = 401


@dataclass(frozen=True, slots=True)
class Lane:
    """One dialect and where its requests go. `root` is what its paths begin with, and the upstream's URL ends with."""

    dialect: Dialect
    root: bytes
    upstream: Upstream

    def serves(self, target: bytes) -> bool:
        return target.startswith(self.root) and target[len(self.root) : len(self.root) + 1] in (
            b"",
            b"/",
            b"?",
        )

    def below(self, target: bytes) -> bytes:
        """`target` as it is put behind the upstream's URL."""
        rest = target[len(self.root) :]
        return rest if rest.startswith(b"/") else b"/" + rest


@dataclass(frozen=True, slots=True)
class Way:
    """What a request's method and target alone decide, and who sent it: the same for every request like it."""

    lane: Lane
    target: bytes
    form: Form | None
    domain: bytes | None
    error_dialect: ErrorDialect


class Router:
    def __init__(self, lanes: Mapping[str, Lane], recorder: Recorder, *, key: str | None) -> None:
        self._lanes = lanes
        self._recorder = recorder
        self._key = key.encode() if key else None
        self._ways: dict[tuple[str, bytes, bool, bool], Way] = {}

    def __call__(self, head: RequestHead) -> Decision:
        if head.target.startswith(_OWN_TARGET) and (
            head.path == OWN_API or head.path.startswith(f"{OWN_API}/")
        ):
            return Local()
        if self._key is not None:
            self._admit(_prefixes(head.target)["key"] or head.get(b"x-forge-key"))
        way = self._way(head)
        forward = Forward(
            upstream=way.lane.upstream,
            target=way.target,
            headers=_without_ours(head),
            dialect=way.error_dialect,
        )
        if way.form is not None:
            context = self._context(head, way)
            forward.tap = Capture(self._recorder, way.form, context)
            forward.response_headers = ((b"x-forge-exchange-id", context.exchange_id.encode()),)
        return forward

    def _way(self, head: RequestHead) -> Way:
        key = (head.method, head.target, _is_anthropic(head), _is_ollama(head))
        way = self._ways.get(key)
        if way is None:
            way = self._find_way(head)
            if len(self._ways) >= _MOST_REMEMBERED:
                self._ways.clear()
            if len(head.target) <= _LONGEST_REMEMBERED:
                self._ways[key] = way
        return way

    def _find_way(self, head: RequestHead) -> Way:
        prefixes = _prefixes(head.target)
        lane, target = self._lane(head, head.target[prefixes.end() :])
        return Way(
            lane=lane,
            target=lane.below(target),
            form=lane.dialect.form(head.method, target.partition(b"?")[0].decode("latin-1")),
            domain=prefixes["domain"],
            error_dialect=ErrorDialect(lane.dialect.name),
        )

    def _admit(self, given: bytes | None) -> None:
        if self._key is not None and not hmac.compare_digest(given or b"", self._key):
            raise KeyRequired(
                "this collector needs the Forge's key",
                fix="send it as the x-forge-key header, or put /k/<key> before the path",
            )

    def _lane(self, head: RequestHead, target: bytes) -> tuple[Lane, bytes]:
        """The lane, and the target without the dialect's name."""
        named = _NAMED.match(target)
        name, rest = (named["name"].decode(), named["rest"]) if named else (_owner(head, target), target)
        lane = self._lanes.get(name or "")
        if lane is None or not lane.serves(rest):
            raise NotFound(
                "no dialect has that path",
                code="path_unknown",
                fix="point an OpenAI client's base URL at /v1, an Anthropic or Ollama client's at /; "
                "the collector's own API is below /forge/v1",
            )
        return lane, rest

    def _context(self, head: RequestHead, way: Way) -> Context:
        conversation = head.get(b"x-forge-conversation") or way.lane.dialect.conversation(head)
        return Context(
            exchange_id=new_exchange_id(),
            dialect=way.lane.dialect.name,
            upstream=way.lane.upstream.origin,
            domain=_domain(way.domain or head.get(b"x-forge-domain")),
            conversation=conversation.decode()
            if conversation and _CONVERSATION.fullmatch(conversation)
            else None,
        )


def _owner(head: RequestHead, target: bytes) -> str | None:
    name = next((name for pattern, name in _OWNERS if pattern.match(target)), None)
    if name in _ANTHROPIC_TOO and _is_anthropic(head):
        return "anthropic"
    # Both look whether anybody is at the root; only Ollama's own clients say that they are its.
    if name == "anthropic" and _is_ollama(head):
        return "ollama"
    return name


def _prefixes(target: bytes) -> re.Match[bytes]:
    prefixes = _PREFIXES.match(target)
    assert prefixes is not None  # the pattern matches nothing, too
    return prefixes


def _is_anthropic(head: RequestHead) -> bool:
    return bool(head.get(b"anthropic-version") or head.get(b"anthropic-beta"))


def _is_ollama(head: RequestHead) -> bool:
    return (head.get(b"user-agent") or b"").startswith(b"ollama")


def make_lane(dialect: Dialect, root: str, upstream_url: str) -> Lane:
    return Lane(dialect, root.encode(), Upstream.parse(upstream_url))


def _domain(given: bytes | None) -> str | None:
    if given is None:
        return None
    name = given.decode("latin-1").strip().lower()
    if not name:
        return None
    if not _SLUG.fullmatch(name):
        raise Invalid(f"{name[:80]!r} is no domain id", fix="use a domain of `forge domain`, e.g. coding")
    return name


def _without_ours(head: RequestHead) -> list[Header] | None:
    """The headers without what is meant for the Forge alone; None where nothing is."""
    for name in head.fields:
        if name.startswith(_OURS):
            return [header for header in head.headers if not header[0].lower().startswith(_OURS)]
    return None
