"""The worker process: tries which sandbox holds on this machine, says so, then waits for doorbells."""

from __future__ import annotations

import warnings
from importlib.metadata import version

from celery import Celery

from forge_common.contracts.tasks import EVALUATE
from forge_common.contracts.workers import WorkerHello
from forge_common.http.registry import RegistryClient
from forge_common.logging import configure, get_logger
from forge_common.queue.worker import make_worker, run_worker
from forge_evaluator.sandbox import NoSandbox, Tier, probe
from forge_evaluator.settings import Settings
from forge_evaluator.tasks import register

log = get_logger()


def main() -> None:
    settings = Settings()
    configure("evaluator", settings)
    # Models write invalid escapes; their warnings are not about our code.
    warnings.simplefilter("ignore", SyntaxWarning)
    tier = find_tier()
    run_worker(introduce(settings, tier), settings, lambda broker_url: build(broker_url, settings, tier))


def find_tier() -> Tier | NoSandbox:
    """Without a sandbox the worker still starts: the run that needs one fails with this reason, where its owner reads it."""
    try:
        tier = probe()
    except NoSandbox as error:
        log.warning("sandbox.refused", reason=error.message, fix=error.fix)
        return error
    log.info("sandbox.probed", tier=tier.description)
    return tier


def introduce(settings: Settings, tier: Tier | NoSandbox) -> WorkerHello:
    return WorkerHello(
        name=settings.worker,
        service="evaluator",
        queues=(EVALUATE.queue,),
        device="no sandbox: refuses code" if isinstance(tier, NoSandbox) else f"sandbox {tier.description}",
        versions={"forge-evaluator": version("forge-evaluator")},
    )


def build(broker_url: str, settings: Settings, tier: Tier | NoSandbox) -> Celery:
    app = make_worker("evaluator", broker_url, [EVALUATE.queue])
    register(app, RegistryClient(settings.registry_url, settings.key_text), settings, tier)
    return app
