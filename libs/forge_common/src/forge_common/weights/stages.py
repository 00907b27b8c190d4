"""A trainer's two stages, worked on: artifacts come and go here, weights are touched only by the child process."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

import psutil
from pydantic import JsonValue

from forge_common.artifacts import ArtifactClient, ArtifactMissing
from forge_common.contracts.base import ArtifactRef, Contract, RunId, Sha256
from forge_common.contracts.dataset import DatasetManifest
from forge_common.contracts.domain import TrainingRules
from forge_common.contracts.stages import (
    BaseModelRef,
    ExportRequest,
    ExportResult,
    Progress,
    StageClaim,
    TrainRequest,
    TrainResult,
)
from forge_common.contracts.tasks import Doorbell, TaskSpec
from forge_common.errors import Invalid
from forge_common.logging import get_logger
from forge_common.queue.child import run_child
from forge_common.queue.stage import DELIVERY_PATIENCE_S, Beat
from forge_common.weights.architectures import architecture
from forge_common.weights.base_model import base_config, resolve_base
from forge_common.weights.estimate import Kind, check_memory, check_ram, shape_of, training_need
from forge_common.weights.export import Greedy, Prompt, export
from forge_common.weights.gguf_writer import check_exportable
from forge_common.weights.jobs import GreedyJob, GreedyOutcome, TrainJob, TrainOutcome
from forge_common.weights.serving import share_memory
from forge_common.weights.settings import TrainerSettings

log = get_logger()

# What every trainer's weights went through, beside what it trains with.
EVERYWHERE = ("forge-common", "jinja2", "numpy", "safetensors", "tokenizers")


class WrongStage(Invalid):
    """A trainer trains and exports, nothing else."""


@dataclass(frozen=True, slots=True)
class Child:
    """How a trainer starts its child process. `facts` are the fields of its own in every job."""

    module: str
    workdir: Path
    facts: Mapping[str, JsonValue]
    environment: Mapping[str, str]

    def run(self, job: Contract, beat: Beat) -> dict[str, JsonValue]:
        """Raises as `run_child` does."""
        self.workdir.mkdir(parents=True, exist_ok=True)
        request = {**job.model_dump(mode="json"), **self.facts}
        return run_child(self.module, request, beat=beat, cwd=self.workdir, env=self.environment)


@dataclass(frozen=True, slots=True)
class Bench:
    """What a trainer works with on this machine. `device` is for people, `libraries` are the distributions that train."""

    settings: TrainerSettings
    spec: TaskSpec[Doorbell]
    device: str
    memory_bytes: int
    libraries: Sequence[str]
    child: Child
    artifacts: ArtifactClient
    kind: Kind = "cpu"
    cards: int = 1
    """Alike, and each with `memory_bytes`: a base that one of them cannot hold is divided among all."""
    used: Callable[[], int | None] = lambda: None
    """How much of `memory_bytes` is in use just now, by whomever; None where nobody can say."""
    about: Mapping[str, str] = field(default_factory=dict)
    """What else made the figures: the driver and the like."""

    @property
    def versions(self) -> dict[str, str]:
        return {name: version(name) for name in self.libraries}

    def folder(self, run: RunId) -> Path:
        """Where the run's checkpoints lie, so that another attempt on this machine goes on with them."""
        folder = self.settings.workdir / "runs" / run
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def artifact_client(settings: TrainerSettings) -> ArtifactClient:
    """As patient as the delivery: a training is not thrown away because the registry was down when it ended."""
    return ArtifactClient(
        settings.registry_url,
        settings.key_text,
        settings.workdir / "artifacts",
        patience_s=DELIVERY_PATIENCE_S,
    )


def work(claim: StageClaim, beat: Beat, bench: Bench) -> TrainResult | ExportResult:
    bench = replace(bench, artifacts=bench.artifacts.checking(beat.check))
    match claim.request:
        case TrainRequest():
            return _train(claim.request, claim.run_id, beat, bench)
        case ExportRequest():
            return _export(claim.request, claim.run_id, beat, bench)
    raise WrongStage(f"stage {claim.request.kind} came to a trainer", fix="check the task table's queues")


def _train(request: TrainRequest, run: RunId, beat: Beat, bench: Bench) -> TrainResult:
    rules, artifacts = request.domain.training, bench.artifacts
    check_fits(request.base, rules, bench, beat)
    beat.progress(Progress(message="fetching dataset and base model"))
    manifest = artifacts.read_json(request.dataset, DatasetManifest)
    older = _older(request, artifacts, beat)
    preferences = manifest.preferences if rules.dpo is not None else None
    # Somebody's conversations: the registry has them for as long as they are to be kept, and nobody else.
    with ExitStack() as borrowed:

        def rows(ref: ArtifactRef | None) -> str | None:
            if ref is None:
                return None
            borrowed.callback(artifacts.forget, ref.sha256)
            return str(artifacts.fetch(ref.sha256))

        base = resolve_base(request.base, artifacts, bench.settings.workdir)
        check_exportable(base)
        job = TrainJob(
            base=str(base),
            base_name=request.base.name,
            train=str(rows(manifest.train)),
            valid=str(rows(manifest.valid)),
            system_prompt=request.domain.system_prompt,
            rules=rules,
            workdir=str(bench.folder(run)),
            max_tokens_at_once=bench.settings.max_tokens_at_once,
            parent=_parent(request.parent, bench.folder(run), artifacts),
            replay=rows(older.train if older else None),
            preferences=rows(preferences),
        )
        beat.check()
        beat.progress(Progress(message="loading the base model"))
        outcome = TrainOutcome.model_validate(bench.child.run(job, beat))
    log.info(
        "training.finished",
        steps=outcome.steps,
        best_step=outcome.best_step,
        valid_loss=outcome.valid_loss,
        split_conversations=outcome.split,
        too_long_turns=outcome.too_long,
        seconds=round(outcome.seconds, 1),
    )
    beat.progress(Progress(message="uploading the adapter"))
    return TrainResult(
        adapter=bench.artifacts.push_bundle(Path(outcome.adapter), "adapter"),
        **outcome.model_dump(exclude={"adapter"}),
        device=bench.device,
        versions=bench.versions
        | {name: version(name) for name in (f"forge-{bench.spec.owner}", *EVERYWHERE)},
        environment=environment() | {"threads": str(bench.settings.cores), **bench.about},
    )


def _older(request: TrainRequest, artifacts: ArtifactClient, beat: Beat) -> DatasetManifest | None:
    """The parent's dataset; None where nothing is to be replayed, there is no parent, or somebody erased it."""
    if not request.domain.training.replay:
        return None
    if request.replay is None:
        beat.progress(
            Progress(
                message="nothing is replayed: this training goes on from no version (training.start_from)"
            )
        )
        return None
    try:
        return artifacts.read_json(request.replay, DatasetManifest)
    except ArtifactMissing:
        beat.progress(Progress(message="the live version's dataset was erased: nothing is replayed"))
        return None


def check_fits(base: BaseModelRef, rules: TrainingRules, bench: Bench, beat: Beat) -> None:
    """Before gigabytes are downloaded for nothing; where memory is short, what the engine holds is asked for first.

    Raises ArchitectureUnknown, NotEnoughMemory.
    """
    config = base_config(base, bench.artifacts)
    if config:
        architecture(config)
    shape = shape_of(config) if config else None
    if shape is None:
        return
    check_ram(base.name, shape, bench.kind, psutil.virtual_memory().available)
    if not bench.memory_bytes:  # nobody knows it
        return
    total = bench.memory_bytes
    if rules.max_memory_gb is not None:
        total = min(total, int(rules.max_memory_gb * 2**30))

    def free() -> int:
        beat.check()
        return min(bench.memory_bytes - (bench.used() or 0), total)

    # A training of the usual pace, but no more than the run's budget allows.
    cards = 1 if training_need(shape, rules, bench.kind).total <= total else bench.cards
    comfortable = training_need(
        shape, rules, bench.kind, tokens=bench.settings.max_tokens_at_once, cards=cards
    ).total
    share_memory(
        bench.settings.engine_url,
        lambda: free() >= min(comfortable, total),
        lambda message: beat.progress(Progress(message=message)),
    )
    check_memory(base.name, shape, rules, bench.kind, free=free(), total=total, cards=cards)


def _parent(adapter: Sha256 | None, folder: Path, artifacts: ArtifactClient) -> str | None:
    if adapter is None:
        return None
    shutil.rmtree(folder / "parent", ignore_errors=True)
    parent = artifacts.fetch_bundle(adapter, folder / "parent")
    artifacts.forget_weights(adapter)
    return str(parent)


def environment() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
    }


@dataclass(frozen=True, slots=True)
class ChildReference:
    """The trained weights, asked in a child process."""

    beat: Beat
    child: Child

    def greedy(
        self, base: Path, prompts: Sequence[Prompt], adapters: Sequence[Path | None], max_tokens: int
    ) -> list[list[Greedy]]:
        job = GreedyJob(
            base=str(base),
            prompts=tuple(prompts),
            adapters=tuple(None if adapter is None else str(adapter) for adapter in adapters),
            max_tokens=max_tokens,
        )
        outcome = GreedyOutcome.model_validate(self.child.run(job, self.beat))
        return [[Greedy(a.tokens, a.text, a.first_logprob) for a in answers] for answers in outcome.answers]


def _export(request: ExportRequest, run: RunId, beat: Beat, bench: Bench) -> ExportResult:
    reference = ChildReference(beat, bench.child)
    result = export(request, bench.artifacts, bench.settings.workdir, beat, reference)
    # The adapter is in the artifact store: what was kept for going on with the training is done with.
    shutil.rmtree(bench.folder(run), ignore_errors=True)
    return result
