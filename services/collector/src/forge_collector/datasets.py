"""Builds the immutable dataset artifact of a domain: two row files and a manifest that names them by hash."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import Engine, text
from sqlmodel import Session

from forge_collector import pairs, repository, rules_table
from forge_collector.benchmark_overlap import Benchmark
from forge_collector.curate import Curated, curate
from forge_collector.policy import Policy
from forge_collector.preferences import Preferences, prefer
from forge_common.artifacts import ArtifactClient, ref_of
from forge_common.contracts.base import ArtifactRef, RunId, Sha256
from forge_common.contracts.dataset import DatasetManifest, DatasetRow, PreferenceRow
from forge_common.contracts.domain import DomainDocument
from forge_common.contracts.exchange import Origin
from forge_common.contracts.stages import Progress
from forge_common.db.session import session_scope
from forge_common.errors import Conflict

KIND = "dataset"
ROWS = "dataset-rows"
# Held while a dataset is stored and while exchanges are erased, so that no dataset gets a row that was just erased.
DATASETS_LOCK = text("select pg_advisory_xact_lock(hashtext('collector.datasets'))")
Report = Callable[[Progress], None]


class DatasetTooSmall(Conflict):
    """There is not enough to train on, and the filters say why."""

    def __init__(self, *, have: int, need: int, domain: str, dropped: str = "") -> None:
        super().__init__(
            f"domain {domain!r} has {have} training examples, needs {need}{dropped}",
            fix="capture more traffic through the collector, or lower data.min_examples of the domain",
        )
        self.have, self.need, self.domain = have, need, domain


class ExchangesErased(Conflict):
    """The dataset would have kept what somebody has just had erased."""


def build(
    engine: Engine,
    artifacts: ArtifactClient,
    domain: DomainDocument,
    *,
    benchmark: Sha256 | None,
    seed: int = 0,
    origins: Sequence[Origin] = (),
    run_id: RunId | None = None,
    report: Report = lambda _: None,
) -> tuple[ArtifactRef, DatasetManifest]:
    """Curate what was captured for `domain` and store it as an artifact. The same data give the same hash.

    Raises DatasetTooSmall, and DependencyDown where database or registry are away.
    """
    excluded = Benchmark.parse(artifacts.fetch(benchmark).read_bytes()) if benchmark else None
    report(Progress(message="reading exchanges"))
    with session_scope(engine) as session:
        policy = rules_table.policy(session)
        curated = curate(
            repository.candidates(session, domain.id, origins),
            domain.data,
            benchmark=excluded,
            seed=seed,
            policy=policy,
            own=domain.model_prefix,
        )
        preferences = _preferences(session, domain, excluded, policy, origins)
        sources = repository.count_sources(session, [row.source for row in (*curated.train, *curated.valid)])
    _check_size(curated, domain)
    report(Progress(message="storing rows", metrics={"train_rows": len(curated.train), "seen": curated.seen}))
    files = [as_lines(rows) for rows in (curated.train, curated.valid, preferences.rows) if rows]
    made = _manifest(domain, curated, benchmark, seed, files)
    manifest = made.model_copy(update=_of_preferences(preferences, files) | {"sources": sources})
    document = manifest.model_dump_json().encode()
    ref = ref_of(document, KIND)
    with session_scope(engine) as session:
        # As one to be forgotten: should we be killed between the first upload and the end, nothing stays in the registry.
        repository.save_dataset(session, ref, manifest, seen_until=curated.seen_until, run_id=run_id)
    with session_scope(engine) as session:
        save_members(session, ref, _sources(curated, preferences))
        for data in files:
            artifacts.push_bytes(data, ROWS)
        artifacts.push_bytes(document, KIND)
        repository.hold_dataset(session, ref.sha256)
    return ref, manifest


def _preferences(
    session: Session,
    domain: DomainDocument,
    benchmark: Benchmark | None,
    policy: Policy,
    origins: Sequence[Origin],
) -> Preferences:
    """Both answers of a pair must be of the origins that were asked for."""
    found = (
        pair
        for pair in pairs.decided(session, domain.id)
        if not origins or all(exchange.origin in origins for exchange in pair)
    )
    return prefer(found, domain.data, benchmark=benchmark, policy=policy)


def _of_preferences(preferences: Preferences, files: Sequence[bytes]) -> dict[str, object]:
    return {
        "preferences": ref_of(files[-1], ROWS) if preferences.rows else None,
        "preference_rows": len(preferences.rows),
        "preferences_dropped": preferences.dropped,
    }


def _sources(curated: Curated, preferences: Preferences) -> list[str]:
    return [*(row.source for row in (*curated.train, *curated.valid)), *preferences.sources]


def save_members(session: Session, ref: ArtifactRef, sources: Sequence[str]) -> None:
    """Note whom the rows come from. Raises ExchangesErased when some were erased since they were read."""
    session.connection().execute(DATASETS_LOCK)
    gone = len(set(sources)) - repository.add_members(session, ref.sha256, sources)
    if gone:
        raise ExchangesErased(
            f"{gone} of the dataset's exchanges were erased while it was being built",
            fix="build it again: they are left out",
        )


def _check_size(curated: Curated, domain: DomainDocument) -> None:
    have, need = len(curated.train), domain.data.min_examples
    if have < need or not curated.valid:
        counts = ", ".join(f"{count.rows} {count.reason}" for count in curated.dropped)
        dropped = f" ({curated.seen} captured; dropped: {counts or 'none'})"
        raise DatasetTooSmall(have=have, need=need, domain=domain.id, dropped=dropped)


def _manifest(
    domain: DomainDocument,
    curated: Curated,
    benchmark: Sha256 | None,
    seed: int,
    files: Sequence[bytes],
) -> DatasetManifest:
    train, valid = (ref_of(data, ROWS) for data in files[:2])
    return DatasetManifest(
        domain=domain.id,
        train=train,
        valid=valid,
        train_rows=len(curated.train),
        valid_rows=len(curated.valid),
        seen=curated.seen,
        dropped=curated.dropped,
        conversations=curated.conversations,
        seed=seed,
        benchmark=benchmark,
        same_family_allowed=domain.data.allow_same_family,
        policy=curated.policy,
    )


def as_lines(rows: Iterable[DatasetRow | PreferenceRow]) -> bytes:
    """JSON lines, fields in the contract's order."""
    return b"".join(row.model_dump_json(exclude_none=True).encode() + b"\n" for row in rows)
