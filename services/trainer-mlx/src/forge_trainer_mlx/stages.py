"""A claimed stage, worked on: artifacts come and go here, weights are touched only by the child process."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from forge_common.artifacts import ArtifactClient
from forge_common.contracts.base import RunId
from forge_common.contracts.dataset import DatasetManifest
from forge_common.contracts.stages import (
    ExportRequest,
    ExportResult,
    Progress,
    StageClaim,
    TrainRequest,
    TrainResult,
)
from forge_common.errors import Invalid
from forge_common.logging import get_logger
from forge_common.queue.child import run_child
from forge_common.queue.stage import Beat
from forge_common.weights.base_model import resolve_base
from forge_common.weights.export import Greedy, Prompt, export
from forge_trainer_mlx.environment import child_environment
from forge_trainer_mlx.jobs import (
    Device,
    DeviceJob,
    GreedyJob,
    GreedyOutcome,
    Job,
    TrainJob,
    TrainOutcome,
)
from forge_trainer_mlx.settings import Settings

log = get_logger()

CHILD = "forge_trainer_mlx.child"
LIBRARIES = ("mlx", "mlx-lm")


class WrongStage(Invalid):
    """A trainer trains and exports, nothing else."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What this machine works with."""

    settings: Settings
    device: Device
    artifacts: ArtifactClient

    def folder(self, run: RunId) -> Path:
        """Where the run's checkpoints lie, so that another attempt on this machine goes on with them."""
        folder = self.settings.workdir / "runs" / run
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def work(claim: StageClaim, beat: Beat, bench: Bench) -> TrainResult | ExportResult:
    match claim.request:
        case TrainRequest():
            return train(claim.request, claim.run_id, beat, bench)
        case ExportRequest():
            return _export(claim.request, claim.run_id, beat, bench)
    raise WrongStage(f"stage {claim.request.kind} came to a trainer", fix="check the task table's queues")


def train(request: TrainRequest, run: RunId, beat: Beat, bench: Bench) -> TrainResult:
    beat.progress(Progress(message="fetching dataset and base model"))
    manifest = bench.artifacts.read_json(request.dataset, DatasetManifest)
    job = TrainJob(
        base=str(resolve_base(request.base, bench.artifacts, bench.settings.workdir)),
        base_name=request.base.name,
        train=str(bench.artifacts.fetch(manifest.train.sha256)),
        valid=str(bench.artifacts.fetch(manifest.valid.sha256)),
        system_prompt=request.domain.system_prompt,
        rules=request.domain.training,
        workdir=str(bench.folder(run)),
        max_tokens_at_once=bench.settings.max_tokens_at_once,
        memory_share=bench.settings.memory_share,
    )
    beat.check()
    beat.progress(Progress(message="loading the base model"))
    outcome = TrainOutcome.model_validate(_run(job, beat, bench.settings))
    log.info(
        "training.finished",
        steps=outcome.steps,
        best_step=outcome.best_step,
        valid_loss=outcome.valid_loss,
        too_long_rows=outcome.too_long,
        seconds=round(outcome.seconds, 1),
    )
    beat.progress(Progress(message="uploading the adapter"))
    return TrainResult(
        adapter=bench.artifacts.push_bundle(Path(outcome.adapter), "adapter"),
        **outcome.model_dump(exclude={"adapter", "too_long"}),
        device=bench.device.label,
        versions={name: version(name) for name in LIBRARIES},
    )


def find_device(settings: Settings) -> Device:
    """What mlx runs on here, found out as training will. Raises ChildFailed (`mlx_unusable`), ChildDied."""
    settings.workdir.mkdir(parents=True, exist_ok=True)
    return Device.model_validate(_run(DeviceJob(memory_share=settings.memory_share), Beat(), settings))


def sweep(settings: Settings) -> None:
    """Remove what runs of long ago left behind."""
    for folder in (settings.workdir / "runs").glob("*"):
        if folder.stat().st_mtime < time.time() - settings.keep_days * 86_400:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class ChildReference:
    """The trained weights, asked in a child process."""

    beat: Beat
    settings: Settings

    def greedy(
        self, base: Path, prompts: Sequence[Prompt], adapters: Sequence[Path | None], max_tokens: int
    ) -> list[list[Greedy]]:
        job = GreedyJob(
            base=str(base),
            prompts=tuple(prompts),
            adapters=tuple(None if adapter is None else str(adapter) for adapter in adapters),
            max_tokens=max_tokens,
            memory_share=self.settings.memory_share,
        )
        outcome = GreedyOutcome.model_validate(_run(job, self.beat, self.settings))
        return [[Greedy(a.tokens, a.text, a.first_logprob) for a in answers] for answers in outcome.answers]


def _export(request: ExportRequest, run: RunId, beat: Beat, bench: Bench) -> ExportResult:
    reference = ChildReference(beat, bench.settings)
    result = export(request, bench.artifacts, bench.settings.workdir, beat, reference)
    # The adapter is in the artifact store: what was kept for going on with the training is done with.
    shutil.rmtree(bench.folder(run), ignore_errors=True)
    return result


def _run(job: DeviceJob | TrainJob | GreedyJob, beat: Beat, settings: Settings) -> dict[str, object]:
    request = Job.dump_python(job, mode="json")
    environment = child_environment(settings, os.environ)
    return dict(run_child(CHILD, request, beat=beat, cwd=settings.workdir, env=environment))
