"""The worker process: consumes `train.cuda` with a card, `train.cpu` without. Never loads torch itself."""

from __future__ import annotations

from importlib.metadata import version

from celery import Celery

from forge_common.artifacts import ArtifactClient
from forge_common.contracts.tasks import TRAIN_CPU, TRAIN_CUDA, Doorbell, TaskSpec
from forge_common.contracts.workers import WorkerHello
from forge_common.logging import configure
from forge_common.queue.worker import make_worker, run_worker
from forge_trainer_cuda.hardware import choose
from forge_trainer_cuda.settings import Settings
from forge_trainer_cuda.stages import LIBRARIES, Bench, sweep
from forge_trainer_cuda.tasks import register


def main() -> None:
    """Run until a signal. Raises NoCudaDevice when a card was asked for and none answers."""
    settings = Settings()
    configure("trainer-cuda", settings)
    bench = make_bench(settings)
    sweep(settings)
    run_worker(hello(bench), settings, lambda broker_url: make_app(broker_url, bench))


def make_bench(settings: Settings) -> Bench:
    settings.workdir.mkdir(parents=True, exist_ok=True)
    artifacts = ArtifactClient(settings.registry_url, settings.key_text, settings.workdir / "artifacts")
    return Bench(settings=settings, device=choose(settings.device), artifacts=artifacts)


def hello(bench: Bench) -> WorkerHello:
    return WorkerHello(
        name=bench.settings.name,
        service="trainer-cuda",
        queues=(_spec(bench).queue,),
        device=bench.device.label,
        memory_bytes=bench.device.memory_bytes,
        versions={name: version(name) for name in LIBRARIES},
    )


def make_app(broker_url: str, bench: Bench) -> Celery:
    spec = _spec(bench)
    app = make_worker("trainer-cuda", broker_url, [spec.queue])
    register(app, spec, bench)
    return app


def _spec(bench: Bench) -> TaskSpec[Doorbell]:
    return TRAIN_CUDA if bench.device.kind == "cuda" else TRAIN_CPU
