"""Working on a stage: claim it, keep the lease alive, deliver the result. The same few lines for every worker.

The registry's row is the truth. A worker that lost its lease (a stale token) stops and delivers nothing.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator

import structlog

from forge_common.contracts.base import StageId
from forge_common.contracts.stages import (
    ClaimRequest,
    Heartbeat,
    Progress,
    StageClaim,
    StageDelivery,
    StageFailure,
    StageResult,
)
from forge_common.errors import Cancelled, DependencyDown, ForgeError, RemoteProblem
from forge_common.http.registry import RegistryClient
from forge_common.logging import get_logger

log = get_logger()

# A delivery is retried for this long before the sweeper's takeover is the better plan.
DELIVERY_PATIENCE_S = 3600.0
WORTH_SHOWING_S = 0.5
# A cancelled run hears of it with a beat's reply, and is to end within seconds.
LONGEST_SILENCE_S = 3.0
# The client's word for a refusal without the registry's own: a proxy's, or a captive portal's.
NOBODYS_WORD = "http_error"


class LeaseLost(Cancelled):
    """The registry gave the stage to somebody else."""


class Beat:
    """The worker's line to the registry while it works. `progress` never blocks: the latest one wins."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.stopped = threading.Event()
        self.news = threading.Event()
        self._progress: Progress | None = None
        self._lock = threading.Lock()
        self.reason: Cancelled = Cancelled("the run was cancelled", code="cancelled")

    def progress(self, progress: Progress) -> None:
        with self._lock:
            self._progress = progress
        self.news.set()

    def check(self) -> None:
        """Raises Cancelled once the run was cancelled or the lease was lost."""
        if self.cancelled.is_set():
            raise self.reason

    def cancel(self, reason: Cancelled | None = None) -> None:
        self.reason = reason or self.reason
        self.cancelled.set()

    def take(self) -> Progress | None:
        with self._lock:
            progress, self._progress = self._progress, None
            self.news.clear()
        return progress


def perform(
    stage: StageId,
    *,
    registry: RegistryClient,
    worker: str,
    work: Callable[[StageClaim, Beat], StageResult],
) -> None:
    """Claim `stage`, run `work`, deliver what it returns or why it failed.

    A stage that is taken, finished or unknown ends quietly: the doorbell was late or rang twice.
    """
    claim = _claim(registry, stage, worker)
    if claim is None:
        return
    with structlog.contextvars.bound_contextvars(run_id=claim.run_id, stage=claim.request.kind):
        started = time.monotonic()
        log.info("stage.claimed", attempt=claim.attempt)
        with heartbeats(registry, claim) as beat:
            delivery = _work(claim, beat, work)
            if delivery is not None:
                _deliver(registry, stage, delivery)
        log.info("stage.ended", seconds=round(time.monotonic() - started, 2))


@contextlib.contextmanager
def heartbeats(registry: RegistryClient, claim: StageClaim) -> Iterator[Beat]:
    """Keep the lease alive from a thread until the block ends."""
    beat = Beat()
    thread = threading.Thread(target=_beat, args=(registry, claim, beat), daemon=True)
    thread.start()
    try:
        yield beat
    finally:
        beat.stopped.set()
        beat.news.set()
        thread.join(timeout=5)


def _claim(registry: RegistryClient, stage: StageId, worker: str) -> StageClaim | None:
    request = ClaimRequest(worker=worker, claim_id=secrets.token_hex(12))
    for pause in (0.5, 1.0, 2.0, 4.0, 8.0, None):
        try:
            return registry.claim(stage, request)
        except RemoteProblem as problem:
            log.info("claim.refused", stage_id=stage, code=problem.code)
            return None
        except DependencyDown as error:
            if pause is None:
                # The stage stays rung; the sweeper rings again.
                log.warning("claim.abandoned", stage_id=stage, reason=str(error))
                return None
            time.sleep(pause)
    return None


def _work(
    claim: StageClaim, beat: Beat, work: Callable[[StageClaim, Beat], StageResult]
) -> StageDelivery | None:
    try:
        return StageDelivery(token=claim.token, result=work(claim, beat))
    except LeaseLost:
        log.warning("lease.lost")
        return None
    except ForgeError as error:
        if isinstance(beat.reason, LeaseLost):
            return None
        log.warning("stage.failed", code=error.code, detail=error.message)
        failure = StageFailure(
            code=error.code, message=error.message, fix=error.fix, retryable=error.retryable
        )
    except Exception as error:
        log.exception("stage.crashed")
        failure = StageFailure(
            code="bug", message=f"{type(error).__name__}: {error}", fix="see the worker's log", retryable=True
        )
    return StageDelivery(token=claim.token, failure=failure)


def _deliver(registry: RegistryClient, stage: StageId, delivery: StageDelivery) -> None:
    pause, deadline = 0.5, time.monotonic() + DELIVERY_PATIENCE_S
    while True:
        try:
            registry.deliver(stage, delivery)
        except (DependencyDown, RemoteProblem) as error:
            if _is_the_registrys(error):
                log.warning("delivery.refused", code=error.code, detail=error.message)
                return
            if time.monotonic() > deadline:
                log.error("delivery.abandoned", reason=str(error))  # noqa: TRY400  the reason says it all
                return
            time.sleep(pause)
            pause = min(pause * 2, 30.0)
            continue
        return


def _is_the_registrys(error: ForgeError) -> bool:
    """Whether it is a refusal that the registry itself pronounced, and that stands."""
    return isinstance(error, RemoteProblem) and error.code != NOBODYS_WORD


def _beat(registry: RegistryClient, claim: StageClaim, beat: Beat) -> None:
    # A third of the lease: two beats may be lost before the sweeper takes the stage away.
    interval = min(claim.lease_s / 3, LONGEST_SILENCE_S)
    while not beat.stopped.is_set():
        try:
            reply = registry.heartbeat(claim.stage_id, Heartbeat(token=claim.token, progress=beat.take()))
            if reply.cancel:
                beat.cancel()
        except (DependencyDown, RemoteProblem) as error:
            if _is_the_registrys(error):
                beat.cancel(LeaseLost("the lease on the stage is gone", code="lease_lost"))
                return
            # Carry on: whoever comes back first, the registry or the sweeper, decides.
            log.warning("heartbeat.failed", reason=str(error))
        beat.news.wait(interval)
        beat.stopped.wait(WORTH_SHOWING_S)
