"""How far an import has come: a row that moves in the transaction that stores what was read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session

from forge_collector.imports.batches import take
from forge_collector.ingest import Redaction, everything
from forge_collector.models import ImportRow
from forge_common.contracts.base import utc_now
from forge_common.contracts.imports import Batch, ImportFormat, ImportReceipt, ImportStart, ImportState
from forge_common.errors import Conflict, NotFound

# A receipt stays small, whatever the file is full of.
MOST_REASONS, MOST_EXAMPLES = 50, 50
_OTHERS = "other reasons"


class ImportUnknown(NotFound):
    """Nobody began an import of that id."""


class ImportMoved(Conflict):
    """The import is at another position than the batch begins at."""


def begin(session: Session, import_id: str, start: ImportStart) -> ImportState:
    """The import as it stands, which is at its beginning when it is new or asked for again."""
    session.connection().execute(
        insert(ImportRow)
        .values(
            id=import_id,
            domain=start.domain,
            format=start.format,
            position=0,
            batch=0,
            receipt={},
            updated_at=utc_now(),
        )
        .on_conflict_do_nothing()
    )
    row = _locked(session, import_id)
    if start.again:
        row.position, row.batch, row.receipt, row.finished_at = 0, 0, {}, None
    row.domain, row.format = start.domain, start.format
    return _state(row)


def advance(session: Session, import_id: str, batch: Batch, redaction: Redaction = everything) -> ImportState:
    """Store a batch and move on. One that was stored already, its reply lost, gets that reply again."""
    row = _locked(session, import_id)
    if row.position == batch.position + len(batch.records) and row.batch == len(batch.records):
        return _state(row)
    if row.position != batch.position:
        raise ImportMoved(
            f"the import is at record {row.position}, and the batch begins at {batch.position}",
            fix="is another client importing the same file? Begin the import again to go on from its position",
        )
    chosen = ImportFormat(row.format) if row.format else None
    receipt = take(session, batch.records, row.domain, chosen, redaction)
    row.receipt = _sum(ImportReceipt.model_validate(row.receipt), receipt).model_dump(mode="json")
    row.position, row.batch, row.updated_at = row.position + len(batch.records), len(batch.records), utc_now()
    return _state(row)


def finish(session: Session, import_id: str) -> ImportState:
    row = _locked(session, import_id)
    row.finished_at = row.finished_at or utc_now()
    return _state(row)


def _locked(session: Session, import_id: str) -> ImportRow:
    row = session.get(ImportRow, import_id, with_for_update=True)
    if row is None:
        raise ImportUnknown(
            f"no import {import_id} was begun here", fix="begin it: POST /forge/v1/imports/{id}"
        )
    return row


def _state(row: ImportRow) -> ImportState:
    return ImportState.model_validate(
        {**row.receipt, "id": row.id, "position": row.position, "finished": row.finished_at is not None}
    )


def _sum(before: ImportReceipt, now: ImportReceipt) -> ImportReceipt:
    return ImportReceipt(
        accepted=before.accepted + now.accepted,
        known=before.known + now.known,
        rejected=before.rejected + now.rejected,
        formats=dict(Counter(before.formats) + Counter(now.formats)),
        reasons=_bounded(Counter(before.reasons) + Counter(now.reasons)),
        rejections=now.rejections,
        examples=(before.examples + now.rejections)[:MOST_EXAMPLES],
    )


def _bounded(reasons: Mapping[str, int]) -> dict[str, int]:
    """The first that came, by name; the others as one."""
    named = [reason for reason in reasons if reason != _OTHERS]
    kept = {reason: reasons[reason] for reason in named[:MOST_REASONS]}
    others = reasons.get(_OTHERS, 0) + sum(reasons[reason] for reason in named[MOST_REASONS:])
    return kept | {_OTHERS: others} if others else kept
