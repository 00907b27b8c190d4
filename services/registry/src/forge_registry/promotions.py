"""Moving a domain's pointer. The only place that does; every move is a promotion row, an audit row and a new revision.

History is a stack: promoting pushes, rolling back pops, so repeated rollbacks walk back and never ping-pong.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine as Database
from sqlmodel import Session

from forge_common.contracts.base import utc_now
from forge_common.contracts.runs import PromoteRequest, PromotionView, RollbackRequest
from forge_common.db.session import session_scope
from forge_common.errors import Conflict
from forge_common.logging import get_logger
from forge_registry import repository
from forge_registry.errors import NothingBelow, VersionNotDeployed
from forge_registry.models import PointerRow, Promotion, Version
from forge_registry.outbox import alias_after_commit, notify
from forge_registry.preflight import Preflight
from forge_registry.views import promotion_view

log = get_logger()

POINTERS_TOPIC = "pointers"


class PointerMoved(Conflict):
    """Somebody else moved the pointer while this request was being checked."""


@dataclass(frozen=True)
class Move:
    """One move of a pointer, as wanted. `below` is what a later rollback goes back to."""

    version: int
    reason: str
    by: str
    kind: str
    below: int | None
    run_id: str | None = None


def promote(
    database: Database, preflight: Preflight, domain: str, request: PromoteRequest, by: str
) -> PromotionView:
    """By hand. Promoting what is live already changes nothing. Raises VersionNotDeployed, PreflightRefused."""
    with session_scope(database) as session:
        candidate = ready(session, domain, request.version)
    preflight(candidate)
    with session_scope(database) as session:
        repository.domain(session, domain, lock=True)
        if repository.live(session, domain) == request.version:
            return promotion_view(repository.promotions(session, domain)[0])
        return promotion_view(
            push(session, domain, request.version, reason=request.reason, by=by, kind="manual")
        )


def roll_back(
    database: Database, preflight: Preflight, domain: str, request: RollbackRequest, by: str
) -> PromotionView:
    """Raises NothingBelow, PreflightRefused, PointerMoved."""
    with session_scope(database) as session:
        top, target = _target(session, domain, request.to)
        candidate = ready(session, domain, target.version)
    preflight(candidate)
    with session_scope(database) as session:
        repository.domain(session, domain, lock=True)
        pointer = repository.pointer(session, domain)
        if pointer is None or pointer.promotion_id != top:
            raise PointerMoved(
                f"the pointer of {domain!r} moved meanwhile",
                fix="look where it is, then roll back if still wanted",
            )
        move = Move(target.version, request.reason, by, "rollback", target.below)
        return promotion_view(_move(session, domain, move))


def ready(session: Session, domain: str, number: int) -> Version:
    """Raises VersionUnknown, VersionNotDeployed."""
    version = repository.version(session, domain, number)
    if version.deployed_at is None:
        raise VersionNotDeployed(
            f"{version.model} was never deployed",
            fix=f"`forge runs retry {version.run_id}` goes on with it",
        )
    return version


def push(
    session: Session, domain: str, version: int, *, reason: str, by: str, kind: str, run_id: str | None = None
) -> Promotion:
    """Move the pointer forward; what is live now is what a rollback returns to. The caller holds the domain's lock."""
    pointer = repository.pointer(session, domain)
    below = pointer.promotion_id if pointer else None
    return _move(session, domain, Move(version, reason, by, kind, below, run_id))


def announce(session: Session) -> None:
    """A new revision of the pointers, visible and waking its watchers when this transaction commits."""
    repository.installation(session, lock=True).pointer_revision += 1
    notify(session, POINTERS_TOPIC)


def _move(session: Session, domain: str, move: Move) -> Promotion:
    previous = repository.live(session, domain)
    promotion = Promotion(
        domain=domain,
        version=move.version,
        previous=previous,
        below=move.below,
        at=utc_now(),
        reason=move.reason,
        by=move.by,
        kind=move.kind,
        run_id=move.run_id,
    )
    session.add(promotion)
    session.flush()
    assert promotion.id is not None
    session.merge(PointerRow(domain=domain, live=move.version, promotion_id=promotion.id))
    announce(session)
    alias_after_commit(session, domain)
    repository.audit(
        session,
        by=move.by,
        action=f"pointer.{move.kind}",
        subject=domain,
        version=move.version,
        previous=previous,
        reason=move.reason,
    )
    log.info("pointer.moved", domain=domain, version=move.version, previous=previous, kind=move.kind)
    return promotion


def _target(session: Session, domain: str, to: int | None) -> tuple[int, Promotion]:
    """The promotion that is live now, and the one to go back to."""
    repository.domain(session, domain)
    pointer = repository.pointer(session, domain)
    if pointer is None:
        raise NothingBelow(f"nothing of {domain!r} is live yet", fix="`forge train` deploys v0 first")
    walk = session.get_one(Promotion, pointer.promotion_id)
    while walk.below is not None:
        walk = session.get_one(Promotion, walk.below)
        if to is None or walk.version == to:
            return pointer.promotion_id, walk
    wanted = "nothing was" if to is None else f"v{to} was not"
    fix = "there is nothing older" if to is None else f"`forge promote {to}` makes it live"
    raise NothingBelow(f"{wanted} live before v{pointer.live} in {domain!r}", fix=fix)
