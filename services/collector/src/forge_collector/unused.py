"""What a domain captured since it was last trained: how much a new training would have that the last one had not.

Which dataset was trained on is the registry's to say; while it is away, the newest dataset that was prepared for a run
stands in, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from sqlmodel import Session, col, select

from forge_collector.counts import By, Count, CountFilter, cells, fold
from forge_collector.models import DatasetRecord, ExchangeRow
from forge_collector.policy import Policy
from forge_common.contracts.base import Contract, Moment, Sha256
from forge_common.contracts.runs import RunKind, RunState
from forge_common.errors import ForgeError
from forge_common.http.registry import RegistryClient
from forge_common.logging import get_logger

log = get_logger()

# A person waits for the answer, and it is good enough without the registry.
PATIENCE_S = 2.0
# In these the training itself is done.
_TRAINED = frozenset(
    {
        RunState.EXPORTING,
        RunState.DEPLOYING,
        RunState.EVALUATING,
        RunState.DECIDING,
        RunState.PROMOTED,
        RunState.KEPT,
    }
)


class Basis(StrEnum):
    """What the count begins after: a TRAINING; a dataset PREPARED for a run that may have failed; NEVER trained; UNKNOWN."""

    TRAINING = "training"
    PREPARED = "prepared"
    NEVER = "never"
    UNKNOWN = "unknown"


class Unused(Contract):
    """`exchanges` were stored after the newest one that the last training had seen; `usable` may be trained on."""

    domain: str
    exchanges: int
    usable: int
    since: Moment | None = None
    dataset: Sha256 | None = None
    basis: Basis


@dataclass(frozen=True, slots=True)
class Trained:
    """The dataset of each domain's last training; None for a domain without one. `is_known` is False when nobody could say."""

    datasets: dict[str, str | None]
    is_known: bool = True


def last_trained(registry: RegistryClient, domains: Iterable[str]) -> Trained:
    """Asks the registry; never raises."""
    try:
        return Trained({domain: _last_dataset(registry, domain) for domain in domains})
    except ForgeError as error:
        log.info("unused.estimated", reason=str(error))
        return Trained({}, is_known=False)


def unused(session: Session, policy: Policy, all_of: Mapping[str, Count], trained: Trained) -> list[Unused]:
    """`all_of` counts everything in each domain."""
    return [_unused(session, policy, count, domain, trained) for domain, count in sorted(all_of.items())]


def _last_dataset(registry: RegistryClient, domain: str) -> str | None:
    """Newest first, as the registry lists them."""
    for run in registry.runs(domain):
        if run.kind is RunKind.TRAIN and run.state in _TRAINED and run.dataset:
            return run.dataset
    return None


def _unused(session: Session, policy: Policy, everything: Count, domain: str, trained: Trained) -> Unused:
    record, basis = _begin(session, domain, trained)
    since = record and (record.seen_until or record.created_at)
    counted = [everything]
    if since:
        newer = cells(session, CountFilter(domain=domain), more=[col(ExchangeRow.stored_at) > since])
        counted = fold(newer, policy, [By.DOMAIN])
    return Unused(
        domain=domain,
        exchanges=sum(count.exchanges for count in counted),
        usable=sum(count.usable for count in counted),
        since=since,
        dataset=record and record.sha256,
        basis=basis,
    )


def _begin(session: Session, domain: str, trained: Trained) -> tuple[DatasetRecord | None, Basis]:
    if not trained.is_known:
        record = session.exec(
            select(DatasetRecord)
            .where(DatasetRecord.domain == domain, col(DatasetRecord.run_id).is_not(None))
            .order_by(col(DatasetRecord.seen_until).desc().nulls_last())
            .limit(1)
        ).first()
        return record, Basis.PREPARED if record else Basis.UNKNOWN
    dataset = trained.datasets.get(domain)
    if dataset is None:
        return None, Basis.NEVER
    record = session.get(DatasetRecord, dataset)
    # A dataset that was built elsewhere: nobody here knows what it had seen.
    return record, Basis.TRAINING if record else Basis.UNKNOWN
