"""The worker process: consumes `train.cuda` with a card, `train.cpu` without. Never loads torch itself."""

from __future__ import annotations

import sys
from functools import partial

from forge_common.contracts.tasks import TRAIN_CPU, TRAIN_CUDA
from forge_common.errors import ForgeError
from forge_common.logging import configure
from forge_common.weights.stages import Bench, Child, artifact_client
from forge_common.weights.worker import serve
from forge_trainer_cuda.footprint import MOST_TOKENS
from forge_trainer_cuda.hardware import Device, choose, torch_cuda, used_bytes
from forge_trainer_cuda.settings import Settings

CHILD = "forge_trainer_cuda.child"
LIBRARIES = ("torch", "transformers", "peft", "accelerate", "bitsandbytes")


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
        child=Child(CHILD, settings.workdir, facts, settings.child_environment()),
        kind=device.kind,
        used=partial(used_bytes, device),
        artifacts=artifact_client(settings),
        about=_about(settings, device),
    )


def _about(settings: Settings, device: Device) -> dict[str, str]:
    if device.kind == "cpu":
        return {}
    known = {"driver": device.driver, "cuda": torch_cuda(), "cards": str(settings.cards)}
    return {name: value for name, value in known.items() if value}
