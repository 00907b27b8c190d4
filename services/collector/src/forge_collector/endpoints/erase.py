"""Erasing: seen first, done second, never undone."""

from __future__ import annotations

from anyio import from_thread
from fastapi import APIRouter

from forge_collector import erase
from forge_collector.collector import Collector
from forge_collector.endpoints.dependencies import DRAIN_PATIENCE_S, CollectorDep
from forge_collector.erase import Erasure, Selection
from forge_collector.frames import remove_unreadable
from forge_common.db.session import session_scope
from forge_common.errors import DependencyDown

router = APIRouter(tags=["erase"])


class SpoolNotEmpty(DependencyDown):
    """What is still on its way to Postgres could not be looked through."""


class EraseRequest(Selection):
    """With `dry_run` nothing is erased, and the answer says what would be."""

    dry_run: bool = False


@router.post("/erase")
def erase_exchanges(collector: CollectorDep, request: EraseRequest) -> Erasure:
    """Erase exchanges with feedback and dataset membership; names the versions that were trained on them."""
    _empty_spool(collector)
    with session_scope(collector.engine) as session:
        found = (erase.preview if request.dry_run else erase.erase)(session, request)
    aside = collector.drainer.erase_set_aside(request.fits_record, dry_run=request.dry_run)
    unreadable = remove_unreadable(collector.spool.folder, dry_run=request.dry_run)
    # Before the registry forgets them: a version is found by its dataset. An erasure that was cut short is finished here.
    with session_scope(collector.engine) as session:
        datasets = sorted({*found.datasets, *erase.withdrawn(session)})
    versions = erase.trained_on(collector.registry, datasets)
    pending = {} if request.dry_run else collector.forgetter.forget()
    return found.model_copy(
        update={"set_aside": aside, "unreadable": unreadable, "versions": versions, "pending": pending}
    )


def _empty_spool(collector: Collector) -> None:
    """All that was captured is in Postgres afterwards, and the files that it passed through are gone."""
    # What large exchanges leave behind is redacted in a thread, and may not be in the spool yet.
    from_thread.run(collector.recorder.settled)
    from_thread.run_sync(collector.spool.roll)
    if not collector.drainer.wait_until_drained(DRAIN_PATIENCE_S):
        raise SpoolNotEmpty(
            "exchanges are still on their way to Postgres, and would be missed",
            fix="try again when `forge status` shows no backlog; is Postgres up?",
        )
