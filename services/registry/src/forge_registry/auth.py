"""Who may do what. Every endpoint but `/health` needs a key: the installation's own, or one that was made with `POST /v1/keys`."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlmodel import Session, col, select

from forge_common.db.session import session_scope
from forge_registry.endpoints.dependencies import ContextDep
from forge_registry.errors import KeyRefused, KeyTooWeak
from forge_registry.models import Key, Scope

ALLOWS = {
    Scope.READ: frozenset({Scope.READ}),
    Scope.WORKER: frozenset({Scope.READ, Scope.WORKER}),
    Scope.ADMIN: frozenset(Scope),
}
INSTALLATION = "installation key"

_bearer = HTTPBearer(auto_error=False, description="The installation key, or one from POST /v1/keys.")


@dataclass(frozen=True)
class Caller:
    name: str
    scope: Scope


def new_key() -> str:
    """256 random bits, recognisable to secret scanners."""
    return f"forge_{secrets.token_urlsafe(32)}"


def hash_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def known_key(session: Session, key: str) -> Caller | None:
    row = session.exec(
        select(Key).where(col(Key.hash) == hash_of(key), col(Key.revoked_at).is_(None))
    ).one_or_none()
    return Caller(row.name, row.scope) if row else None


def caller(
    context: ContextDep, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    """Raises KeyRefused. Holds no connection afterwards, so that streams do not."""
    if given is None:
        raise KeyRefused("this needs a key", fix="send `Authorization: Bearer KEY`")
    own = context.settings.installation_key
    if hmac.compare_digest(given.credentials.encode(), own.encode()):
        return Caller(INSTALLATION, Scope.ADMIN)
    with session_scope(context.database) as session:
        known = known_key(session, given.credentials)
    if known is None:
        raise KeyRefused(
            "the key is not known here, or was revoked",
            fix="check FORGE_KEY; `forge keys add NAME` on the registry's machine makes a new key",
        )
    return known


def _require(scope: Scope) -> Callable[[Caller], Caller]:
    def check(who: Annotated[Caller, Depends(caller)]) -> Caller:
        if scope not in ALLOWS[who.scope]:
            raise KeyTooWeak(
                f"the key {who.name!r} may {who.scope}; this needs {scope}", fix="use a key with more scope"
            )
        return who

    return check


Reader = Annotated[Caller, Depends(_require(Scope.READ))]
WorkerCaller = Annotated[Caller, Depends(_require(Scope.WORKER))]
Admin = Annotated[Caller, Depends(_require(Scope.ADMIN))]
