"""Erasing what was captured: rows, feedback, and membership in datasets, which are withdrawn whole.

Versions that were trained on it are named and not touched: only training anew makes a model forget.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypeAlias

from pydantic import Field, model_validator
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    MetaData,
    Table,
    Text,
    any_,
    delete,
    func,
    update,
)
from sqlalchemy.dialects.postgresql import array, insert
from sqlmodel import Session, col, select

from forge_collector.datasets import DATASETS_LOCK
from forge_collector.models import (
    DatasetMember,
    DatasetRecord,
    ExchangeRow,
    FeedbackRow,
    ShadowCallRow,
    ShadowPauseRow,
)
from forge_collector.shadow import CallState
from forge_common.contracts.base import Contract, ExchangeId, Moment, Sha256, Slug, utc_now
from forge_common.contracts.runs import TrainedVersion
from forge_common.errors import ForgeError
from forge_common.http.registry import RegistryClient
from forge_common.logging import get_logger

log = get_logger()

SHORTEST_TEXT = 3
QUOTES_NOTHING = "the reason was erased"
FAILED = CallState.FAILED.value
Patterns: TypeAlias = array[str]


def _temporary(name: str, kind: type[Text | BigInteger]) -> Table:
    """A table of ids that lives for one transaction."""
    ids = Column("id", kind, primary_key=True)
    return Table(name, MetaData(), ids, prefixes=["TEMPORARY"], postgresql_on_commit="DROP")


ERASING = _temporary("erasing", Text)
ERASING_FEEDBACK = _temporary("erasing_feedback", BigInteger)


class NothingNamed(ValueError):
    """An erasure without conditions would be of everything."""


class Selection(Contract):
    """What to erase: the exchanges for which all that is given holds. `domain` only narrows the others."""

    conversation: str | None = None
    text: str | None = Field(default=None, min_length=SHORTEST_TEXT)
    before: Moment | None = None
    exchange: ExchangeId | None = None
    domain: Slug | None = None

    @model_validator(mode="after")
    def _names_something(self) -> Selection:
        if not (self.conversation or self.text or self.before or self.exchange):
            raise NothingNamed("say what to erase: a conversation, a text, a date or an exchange")
        if "\0" in (self.text or ""):
            raise NothingNamed("a text with a NUL cannot be looked for")
        return self

    def fits_record(self, record: bytes) -> bool:
        """Whether a record that was set aside, because it could not be stored, is to go as well."""
        try:
            document = json.loads(record)
        except ValueError:
            document = {}
        document = document if isinstance(document, dict) else {}
        if self.text and not any(form in record for form in (f.encode() for f in _forms(self.text))):
            return False
        if self.before and str(document.get("captured_at") or "9") >= self.before.isoformat():
            return False
        fields = {"conversation_id": self.conversation, "id": self.exchange, "domain": self.domain}
        return all(document.get(name) == value for name, value in fields.items() if value is not None)

    @property
    def is_text_alone(self) -> bool:
        return bool(self.text) and not (self.conversation or self.before or self.exchange or self.domain)


class Erasure(Contract):
    """What was erased, or would be. `pending` datasets still lie in the registry, for the reason given."""

    exchanges: int
    conversations: int
    feedback: int
    # Records that could not be stored and were kept in a file.
    set_aside: int = 0
    # Spool files that the disk could not read: nobody can say what is in them, so all of them go.
    unreadable: int = 0
    datasets: tuple[Sha256, ...] = ()
    pending: dict[Sha256, str] = Field(default_factory=dict)
    # None where the registry could not be asked.
    versions: tuple[TrainedVersion, ...] | None = ()


def preview(session: Session, selection: Selection) -> Erasure:
    """What `erase` would do."""
    _select(session, selection)
    return _count(session)


def erase(session: Session, selection: Selection) -> Erasure:
    """Delete for good. Datasets are withdrawn; the registry forgets them after the commit, by `forget`."""
    session.connection().execute(DATASETS_LOCK)
    _select(session, selection)
    # Waits for a shadow call that is being settled; the pair that it has made by then goes as well.
    session.exec(delete(ShadowCallRow).where(col(ShadowCallRow.exchange_id).in_(select(ERASING.c.id))))
    _select_pairs(session)
    found = _count(session)
    first = func.coalesce(col(DatasetRecord.withdrawn_at), utc_now())
    session.exec(
        update(DatasetRecord).where(col(DatasetRecord.sha256).in_(found.datasets)).values(withdrawn_at=first)
    )
    # Upstreams quote prompts in their errors.
    session.exec(update(ShadowPauseRow).values(reason=QUOTES_NOTHING))
    session.exec(
        update(ShadowCallRow)
        .where(col(ShadowCallRow.reason).is_not(None), col(ShadowCallRow.state) == FAILED)
        .values(reason=QUOTES_NOTHING)
    )
    ids, feedback = select(ERASING.c.id), select(ERASING_FEEDBACK.c.id)
    for statement in (
        delete(DatasetMember).where(col(DatasetMember.exchange_id).in_(ids)),
        delete(FeedbackRow).where(col(FeedbackRow.id).in_(feedback)),
        delete(ExchangeRow).where(col(ExchangeRow.id).in_(ids)),
    ):
        session.exec(statement)
    return found


def withdrawn(session: Session) -> list[Sha256]:
    """Datasets that the registry has not forgotten yet."""
    statement = select(DatasetRecord.sha256).where(
        col(DatasetRecord.withdrawn_at).is_not(None), col(DatasetRecord.forgotten_at).is_(None)
    )
    return list(session.exec(statement))


def mark_forgotten(session: Session, dataset: Sha256) -> None:
    session.exec(
        update(DatasetRecord).where(col(DatasetRecord.sha256) == dataset).values(forgotten_at=utc_now())
    )


def trained_on(registry: RegistryClient, datasets: Sequence[Sha256]) -> tuple[TrainedVersion, ...] | None:
    """The versions that were trained on one of `datasets`; None when the registry cannot be asked."""
    if not datasets:
        return ()
    try:
        return tuple(
            TrainedVersion(
                domain=v.domain, number=v.number, model=v.model, is_live=v.is_live, dataset=v.dataset
            )
            for domain in registry.domains()
            for v in registry.versions(domain.id)
            if v.dataset in datasets
        )
    except ForgeError as error:
        log.warning("versions.unknown", reason=error.message)
        return None


def _select(session: Session, selection: Selection) -> None:
    """Collect ids: what fits, what answers the same prompts again, and the feedback on all of it."""
    connection = session.connection()
    for table in (ERASING, ERASING_FEEDBACK):
        table.create(connection)
    fits = select(ExchangeRow.id).where(*_conditions(selection))
    connection.execute(ERASING.insert().from_select(["id"], fits))
    _select_pairs(session)
    about: ColumnElement[bool] = col(FeedbackRow.exchange_id).in_(select(ERASING.c.id))
    if selection.is_text_alone:
        # A note may have come before its exchange, or be all that is left of it.
        about = about | _quotes(_patterns(selection.text or ""))
    connection.execute(ERASING_FEEDBACK.insert().from_select(["id"], select(FeedbackRow.id).where(about)))


def _select_pairs(session: Session) -> None:
    again = select(ExchangeRow.id).join(ERASING, col(ExchangeRow.pair_of) == ERASING.c.id)
    session.connection().execute(insert(ERASING).from_select(["id"], again).on_conflict_do_nothing())


def _conditions(selection: Selection) -> list[ColumnElement[bool]]:
    equal = {
        ExchangeRow.conversation_id: selection.conversation,
        ExchangeRow.id: selection.exchange,
        ExchangeRow.domain: selection.domain,
    }
    conditions = [col(column) == value for column, value in equal.items() if value is not None]
    if selection.before is not None:
        conditions.append(col(ExchangeRow.captured_at) < selection.before)
    if selection.text:
        patterns = _patterns(selection.text)
        on_it = select(FeedbackRow.id).where(
            col(FeedbackRow.exchange_id) == ExchangeRow.id, _quotes(patterns)
        )
        conditions.append(col(ExchangeRow.document).like(any_(patterns)) | on_it.exists())
    return conditions


def _quotes(patterns: Patterns) -> ColumnElement[bool]:
    return col(FeedbackRow.corrected).like(any_(patterns)) | col(FeedbackRow.note).like(any_(patterns))


def _patterns(wanted: str) -> Patterns:
    """The text as it stands, inside JSON, and inside JSON within JSON (arguments of tool calls), for LIKE."""
    escaped = (form.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") for form in _forms(wanted))
    return array([f"%{form}%" for form in sorted(escaped)])


def _forms(wanted: str) -> set[str]:
    once = {_inside_json(wanted), _ascii(wanted)}
    return {wanted} | once | {_inside_json(form) for form in once}


def _inside_json(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]


def _ascii(value: str) -> str:
    return json.dumps(value)[1:-1]


def _count(session: Session) -> Erasure:
    exchanges, conversations = session.exec(
        select(func.count(), func.count(col(ExchangeRow.conversation_id).distinct())).join(
            ERASING, col(ExchangeRow.id) == ERASING.c.id
        )
    ).one()
    datasets = (
        select(DatasetMember.dataset)
        .join(ERASING, col(DatasetMember.exchange_id) == ERASING.c.id)
        .distinct()
        .order_by(DatasetMember.dataset)
    )
    return Erasure(
        exchanges=exchanges,
        conversations=conversations,
        feedback=session.exec(select(func.count()).select_from(ERASING_FEEDBACK)).one(),
        datasets=tuple(session.exec(datasets)),
    )
