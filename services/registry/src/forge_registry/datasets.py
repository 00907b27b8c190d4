"""Forgetting a dataset: its rows leave the store, and what was quoted from them leaves the tables. Versions stay, and are named.

An adapter that was trained on erased text may still remember it: whoever erases is told which versions those are.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pydantic import ValidationError
from sqlmodel import Session, col, select

from forge_common.artifacts import ArtifactMissing, ArtifactStore
from forge_common.contracts.base import Sha256
from forge_common.contracts.dataset import DatasetManifest
from forge_common.contracts.runs import AttemptState
from forge_common.contracts.stages import ExportResult, StageKind
from forge_registry.errors import DatasetInUse, DatasetUnreadable
from forge_registry.models import Attempt, Run, Stage, Version

# Their requests carry versions' probes.
_QUOTING = (StageKind.DEPLOY, StageKind.EVALUATE)
_OVER = (AttemptState.DONE, AttemptState.LOST, AttemptState.FAILED)


def forget(
    session: Session, store: ArtifactStore, sha256: Sha256, keep: Collection[Sha256] = ()
) -> Sequence[Version]:
    """Remove the dataset, but for the files to `keep` (others share them), and name the versions that were trained on it. Doing it again changes nothing.

    Raises DatasetInUse while a run needs it, and DatasetUnreadable for any other artifact.
    """
    runs = session.exec(select(Run).where(col(Run.dataset) == sha256).with_for_update()).all()
    if active := next((run for run in runs if not run.state.is_final), None):
        raise DatasetInUse(
            f"run {active.id} is working with dataset {sha256[:12]}\u2026",
            fix=f"wait for it, or `forge runs cancel {active.id}`",
        )
    for run in runs:
        _forget_probes(session, run)
    _remove_files(store, sha256, keep)
    trained = select(Version).where(col(Version.dataset) == sha256)
    return session.exec(trained.order_by(col(Version.domain), col(Version.number))).all()


def _forget_probes(session: Session, run: Run) -> None:
    """Parity probes are prompts of the dataset. A version without any is greeted instead when it is deployed again."""
    for version in session.exec(select(Version).where(col(Version.run_id) == run.id)):
        version.probes = ()
    for stage in session.exec(select(Stage).where(col(Stage.run_id) == run.id)):
        if isinstance(stage.result, ExportResult):
            stage.result = stage.result.model_copy(update={"probes": (), "base_probes": ()})
    # Later runs of the domain deployed and judged these versions too, and an attempt keeps what its claim was answered with.
    deployments = (
        select(Attempt)
        .join(Stage, col(Stage.id) == col(Attempt.stage_id))
        .join(Run, col(Run.id) == col(Stage.run_id))
        .where(Run.domain == run.domain, col(Stage.kind).in_(_QUOTING), col(Attempt.state).in_(_OVER))
    )
    for attempt in session.exec(deployments):
        attempt.answer = None


def _remove_files(store: ArtifactStore, sha256: Sha256, keep: Collection[Sha256]) -> None:
    try:
        manifest = DatasetManifest.model_validate_json(store.path(sha256).read_bytes())
    except ArtifactMissing:
        return
    except ValidationError as error:
        raise DatasetUnreadable(f"artifact {sha256[:12]}\u2026 is no dataset") from error
    # The manifest last: if we are killed in between, doing it again finds the rest.
    for part in (*(file.sha256 for file in manifest.files), sha256):
        if part not in keep:
            store.remove(part)
