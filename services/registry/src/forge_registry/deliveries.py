"""What a stage's result changes: the run's facts, and the version rows. One function per kind of result."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Engine as Database
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session

from forge_common.artifacts import ArtifactStore
from forge_common.contracts.base import ArtifactRef, new_id, utc_now
from forge_common.contracts.domain import DeployMode
from forge_common.contracts.runs import RunKind
from forge_common.contracts.stages import (
    Deployed,
    DeployResult,
    EvaluateResult,
    ExportResult,
    ParityProbe,
    PrepareResult,
    StageResult,
    TrainResult,
)
from forge_common.db.session import session_scope
from forge_registry import repository, runs
from forge_registry.errors import ArtifactNotUploaded, WrongResult
from forge_registry.models import BaseExport, Run, ScorecardRow, Stage, Version
from forge_registry.outbox import alias_after_commit


def check(run: Run, stage: Stage, result: StageResult, store: ArtifactStore) -> None:
    """Raises WrongResult, or ArtifactNotUploaded when the result names content that is not in the store."""
    if result.kind != stage.kind:
        raise WrongResult(f"stage {stage.id} is a {stage.kind}, the result a {result.kind}")
    if isinstance(result, ExportResult) and run.kind is RunKind.TRAIN:
        mode = run.document.deploy.mode
        if (result.fused_gguf if mode is DeployMode.FUSED else result.adapter_gguf) is None:
            raise WrongResult(f"the domain deploys as {mode}, but the export has no such GGUF")
    for ref in _artifacts(result):
        if not store.has(ref.sha256):
            raise ArtifactNotUploaded(
                f"the result's {ref.kind} {ref.sha256[:12]}… is not stored", fix="upload it, then deliver"
            )


def apply(session: Session, run: Run, result: StageResult) -> None:
    match result:
        case PrepareResult():
            run.dataset = result.dataset.sha256
        case TrainResult():
            run.adapter = result.adapter
        case ExportResult():
            _exported(session, run, result)
        case DeployResult():
            _deployed(session, run, result)
        case EvaluateResult():
            _evaluated(session, run, result)


def _exported(session: Session, run: Run, result: ExportResult) -> None:
    _remember_base(session, run, result)
    # Numbers are given out under the domain's lock; the primary key would refuse a double.
    repository.domain(session, run.domain, lock=True)
    if session.get(Version, (run.domain, 0)) is None:
        session.add(_version(run, 0, result, result.base_probes))
    if run.kind is RunKind.TRAIN:
        run.version = repository.next_number(session, run.domain)
        version = _version(run, run.version, result, result.probes)
        version.dataset, version.adapter = run.dataset, run.adapter
        version.adapter_gguf, version.fused_gguf = result.adapter_gguf, result.fused_gguf
        session.add(version)
    session.flush()


def _remember_base(session: Session, run: Run, result: ExportResult) -> None:
    asked = run.document.deploy.quant
    if repository.base_gguf(session, run.base, asked) is not None:
        return  # the export was given it; what it wrote itself may be of another quantisation
    row = BaseExport(
        name=run.base.name,
        revision=run.base.revision,
        bundle=run.base.bundle or "",
        quant=result.quant or asked,
        gguf=result.base_gguf,
    )
    values = {
        column: getattr(row, column)
        for column in ("name", "revision", "bundle", "quant", "gguf", "created_at")
    }
    session.execute(insert(BaseExport).values(**values).on_conflict_do_nothing())


def _version(run: Run, number: int, result: ExportResult, probes: tuple[ParityProbe, ...]) -> Version:
    return Version(
        domain=run.domain,
        number=number,
        model=run.document.model_name(number),
        run_id=run.id,
        base_gguf=result.base_gguf,
        system_prompt=run.document.system_prompt,
        parameters=run.document.ollama.parameters(),
        probes=probes,
        created_at=utc_now(),
    )


def to_deploy(session: Session, run: Run) -> list[Version]:
    """v0, what is live, the run's own and its opponent: an engine that lost one of them, or is a new one, gets it again."""
    numbers = {0, repository.live(session, run.domain), run.version, run.opponent}
    return [repository.version(session, run.domain, n) for n in sorted(n for n in numbers if n is not None)]


def _deployed(session: Session, run: Run, result: DeployResult) -> None:
    """What was live when the stage was claimed may not be so any more: all that the result names is taken."""
    by_model = {deployed.model: deployed for deployed in result.deployed}
    for version in repository.versions(session, run.domain):
        if deployed := by_model.get(version.model):
            remember_deployed(version, deployed)
        elif version.number in (0, run.version, run.opponent):
            raise WrongResult(f"the result says nothing about {version.model}")
    session.flush()
    runs.go_live_first(session, run)
    # A new engine has no alias yet.
    alias_after_commit(session, run.domain)


def remember_deployed(version: Version, deployed: Deployed) -> None:
    """What the engine had already keeps the figures of its deployment."""
    if version.deployed_at is None or version.digest != deployed.digest:
        version.deployed_at, version.digest = utc_now(), deployed.digest
        version.probes_equal, version.probes_asked = deployed.probes_equal, deployed.probes_asked


def restored(database: Database, version: Version, deployed: Deployed) -> None:
    """The engine had lost the version and has it again."""
    with session_scope(database) as session:
        row = repository.version(session, version.domain, version.number)
        remember_deployed(row, deployed)
        if repository.live(session, row.domain) == row.number:
            alias_after_commit(session, row.domain)


def _evaluated(session: Session, run: Run, result: EvaluateResult) -> None:
    assert run.version is not None
    card = ScorecardRow(
        id=new_id("card"),
        run_id=run.id,
        domain=run.domain,
        version=run.version,
        incumbent=run.incumbent,
        scorecard=result.scorecard,
        report=result.report,
        created_at=utc_now(),
    )
    session.add(card)
    run.scorecard_id, run.verdict = card.id, result.scorecard.verdict
    version = repository.version(session, run.domain, run.version)
    version.score, version.scorecard_id = result.scorecard.overall.candidate.mean, card.id


def _artifacts(result: StageResult) -> Iterator[ArtifactRef]:
    for _, value in result:
        if isinstance(value, ArtifactRef):
            yield value
