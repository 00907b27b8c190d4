"""The worker process: consumes `train.cuda` with a card, `train.cpu` without. Never loads torch itself."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass
from functools import partial

from pydantic import JsonValue

from forge_common.contracts.base import Contract
from forge_common.contracts.stages import Progress
from forge_common.contracts.tasks import TRAIN_CPU, TRAIN_CUDA
from forge_common.errors import ForgeError
from forge_common.logging import configure, get_logger
from forge_common.queue.child import ChildDied
from forge_common.queue.stage import Beat
from forge_common.weights.jobs import TrainJob
from forge_common.weights.room import shorter
from forge_common.weights.stages import Bench, Child, artifact_client
from forge_common.weights.worker import serve
from forge_trainer_cuda.footprint import MOST_TOKENS
from forge_trainer_cuda.hardware import Device, choose, torch_cuda, used_bytes
from forge_trainer_cuda.settings import Settings

log = get_logger()

CHILD = "forge_trainer_cuda.child"
LIBRARIES = ("torch", "transformers", "peft", "accelerate", "bitsandbytes")


@dataclass(frozen=True, slots=True)
class CardsChild(Child):
    """A training whose process memory ended (below Python; or on a card, with the base divided) goes on from its checkpoint
    with half at once.
    """

    def run(self, job: Contract, beat: Beat) -> dict[str, JsonValue]:
        """Raises OutOfMemory, and as `run_child` does."""
        while True:
            try:
                return Child.run(self, job, beat)
            except ChildDied as death:
                if not isinstance(job, TrainJob) or death.signal != signal.SIGABRT:
                    raise
                job = with_half(job)
            message = f"memory ran out: going on with {job.max_tokens_at_once} tokens at once"
            log.warning("child.crashed", detail=message)
            beat.progress(Progress(message=message))


def with_half(job: TrainJob) -> TrainJob:
    """Of the tokens at once, and rows that are no longer than that. Raises OutOfMemory."""
    half = shorter(job.max_tokens_at_once, job.max_tokens_at_once)
    rules = job.rules.model_copy(update={"max_seq_length": min(half, job.rules.max_seq_length)})
    return job.model_copy(update={"max_tokens_at_once": half, "rules": rules})


def main() -> None:
    """Run until a signal. What cannot work here, or is not let in, ends with a sentence that says what to do."""
    settings = Settings()
    configure("trainer-cuda", settings)
    try:
        serve(make_bench(settings, choose(settings.device)))
    except ForgeError as error:
        sys.exit(f"trainer-cuda cannot work here: {error}")


def make_bench(settings: Settings, device: Device) -> Bench:
    if device.kind == "cuda" and "max_tokens_at_once" not in settings.model_fields_set:
        # The most that is of use; the training takes fewer where the card's memory says so.
        settings = settings.model_copy(update={"max_tokens_at_once": MOST_TOKENS})
    facts = {"device": device.kind, "cards": settings.cards, "compiled": settings.compiled}
    return Bench(
        settings=settings,
        spec=TRAIN_CUDA if device.kind == "cuda" else TRAIN_CPU,
        device=device.label,
        memory_bytes=device.memory_bytes,
        libraries=LIBRARIES,
        child=CardsChild(CHILD, settings.workdir, facts, settings.child_environment()),
        kind=device.kind,
        used=partial(used_bytes, device),
        cards=settings.cards if device.kind == "cuda" else 1,
        artifacts=artifact_client(settings),
        about=_about(settings, device),
    )


def _about(settings: Settings, device: Device) -> dict[str, str]:
    if device.kind == "cpu":
        return {}
    known = {"driver": device.driver, "cuda": torch_cuda(), "cards": str(settings.cards)}
    return {name: value for name, value in known.items() if value}
