"""The workers' side of a stage: claim, heartbeat, result; and losing one. Each idempotent, each fenced by the token.

A token is given out once: the fence grows with every claim and every loss. A worker that was given up on goes on where
nobody else has taken its stage when it comes back; where somebody has, it can change nothing any more.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sqlmodel import Session

from forge_common.artifacts import ArtifactStore
from forge_common.contracts.base import RunId, StageId, utc_now
from forge_common.contracts.runs import STAGES, AttemptState, RunKind, RunState
from forge_common.contracts.stages import (
    ClaimRequest,
    Heartbeat,
    HeartbeatReply,
    StageClaim,
    StageDelivery,
    StageFailure,
    StageKind,
    StageResult,
)
from forge_registry import deliveries, pipeline, repository, runs
from forge_registry.bells import new_attempt
from forge_registry.errors import StageFinished, StageTaken, StaleToken, WrongResult
from forge_registry.history import note, to_state
from forge_registry.models import Attempt, Run, Stage
from forge_registry.repository import Held
from forge_registry.settings import Settings


def claim(session: Session, stage_id: str, request: ClaimRequest, settings: Settings) -> StageClaim:
    """Take the stage, or get the same answer as before. Raises StageTaken, StageFinished."""
    held = repository.lock_stage(session, stage_id)
    attempt = held.attempt
    if attempt.state is AttemptState.CLAIMED and attempt.claim_id == request.claim_id:
        assert attempt.answer is not None
        return attempt.answer
    if attempt.state is AttemptState.CLAIMED:
        raise StageTaken(stage_id, attempt.worker)
    if attempt.state is not AttemptState.RUNG or held.run.state.is_final:
        raise StageFinished(stage_id)
    return _take(session, held, request, settings)


def heartbeat(session: Session, stage_id: str, beat: Heartbeat, settings: Settings) -> HeartbeatReply:
    """Extend the lease and keep the progress. Raises StaleToken."""
    run, stage, _ = held = repository.lock_stage(session, stage_id)
    attempt = _attempt_of(session, held, beat.token)
    if attempt.state is not AttemptState.CLAIMED:
        return HeartbeatReply(lease_s=settings.lease_s, cancel=run.state.is_final)
    _extend(stage, settings)
    if beat.progress is not None:
        note(session, run, "stage.progress", stage=stage.kind, progress=beat.progress)
    return HeartbeatReply(lease_s=settings.lease_s)


def deliver(
    session: Session, stage_id: str, delivery: StageDelivery, store: ArtifactStore, settings: Settings
) -> None:
    """Take the result or the failure, once; the same delivery again changes nothing. Raises StaleToken, WrongResult."""
    if (delivery.result is None) == (delivery.failure is None):
        raise WrongResult("a delivery has either a result or a failure")
    held = repository.lock_stage(session, stage_id)
    held = held._replace(attempt=_attempt_of(session, held, delivery.token))
    if held.attempt.state is not AttemptState.CLAIMED:
        return
    if delivery.result is not None:
        deliveries.check(held.run, held.stage, delivery.result, store)
        _finish(session, held, delivery.result)
    elif delivery.failure is not None:
        _end(session, held, AttemptState.FAILED, delivery.failure, settings)


def lose(session: Session, held: Held, settings: Settings) -> None:
    """The worker went silent: its token is void, and the stage is rung again."""
    attempt, stage = held.attempt, held.stage
    failure = StageFailure(
        code="worker_lost",
        message=f"worker {attempt.worker} went silent during {stage.kind}, attempt {attempt.number}",
        fix="see the worker's log: was it killed, out of memory, or cut off?",
        retryable=True,
    )
    stage.fence += 1
    _end(session, held, AttemptState.LOST, failure, settings)


def _take(session: Session, held: Held, request: ClaimRequest, settings: Settings) -> StageClaim:
    run, stage, attempt = held
    stage.fence += 1
    _extend(stage, settings)
    answer = StageClaim(
        stage_id=StageId(stage.id),
        run_id=RunId(run.id),
        token=stage.fence,
        lease_s=settings.lease_s,
        attempt=attempt.number,
        request=pipeline.request_for(stage.kind, _facts(session, run, stage.kind, settings)),
    )
    attempt.state, attempt.worker, attempt.claim_id = AttemptState.CLAIMED, request.worker, request.claim_id
    attempt.token, attempt.answer, attempt.started_at = stage.fence, answer, utc_now()
    if run.state is RunState.QUEUED:
        to_state(session, run, dict(STAGES[run.kind])[stage.kind])
    note(session, run, "stage.attempt", stage=stage.kind, message=f"claimed by {request.worker}")
    return answer


def _extend(stage: Stage, settings: Settings) -> None:
    stage.lease_until = utc_now() + timedelta(seconds=settings.lease_s)
    stage.suspected_at = None


def _attempt_of(session: Session, held: Held, token: int) -> Attempt:
    """The attempt that the token was given to. Raises StaleToken for one that somebody else follows, or that never was."""
    known = repository.attempts(session, held.stage.id)
    attempt = next((each for each in known if each.token == token), None)
    if attempt is None:
        raise StaleToken(held.stage.id, token)
    if attempt.state is AttemptState.LOST:
        if held.attempt.state is not AttemptState.RUNG or held.attempt.number != attempt.number + 1:
            raise StaleToken(held.stage.id, token)
        _resume(session, held, attempt)
    return attempt


def _resume(session: Session, held: Held, attempt: Attempt) -> None:
    """The worker was cut off, not dead, and nobody has followed the bell that was rung for another: hours of work count."""
    run, stage, rung = held
    session.delete(rung)
    session.flush()
    attempt.state, attempt.ended_at, attempt.error = AttemptState.CLAIMED, None, None
    stage.lease_until = utc_now()
    note(session, run, "stage.attempt", stage=stage.kind, message=f"{attempt.worker} is back and goes on")


def _finish(session: Session, held: Held, result: StageResult) -> None:
    run, stage, attempt = held
    attempt.state, attempt.ended_at = AttemptState.DONE, utc_now()
    stage.lease_until, stage.result = None, result
    note(session, run, "stage.attempt", stage=stage.kind, message=f"done by {attempt.worker}")
    deliveries.apply(session, run, result)
    runs.advance(session, run, stage)


def _end(
    session: Session, held: Held, state: AttemptState, failure: StageFailure, settings: Settings
) -> None:
    """End the attempt without a result; another one follows if that can help and the stage has not had enough of them."""
    run, stage, attempt = held
    attempt.state, attempt.ended_at, attempt.error = state, utc_now(), failure.message
    stage.lease_until = None
    note(session, run, "stage.attempt", stage=stage.kind, message=f"{state}: {failure.message}")
    if failure.retryable and attempt.number < settings.attempts:
        # A lost worker has been waited for already.
        pause_s = settings.retry_pause_s * 3 ** (attempt.number - 1) if state is AttemptState.FAILED else 0
        new_attempt(session, run, stage, number=attempt.number + 1, delay_s=pause_s)
    else:
        runs.fail(session, run, failure)


def _facts(session: Session, run: Run, stage: StageKind, settings: Settings) -> pipeline.Facts:
    facts = pipeline.Facts(
        document=run.document,
        base=run.base,
        dataset=run.dataset,
        adapter=run.adapter.sha256 if run.adapter else None,
    )
    if stage is StageKind.TRAIN and run.document.training.start_from == "live":
        return _from_live(session, run, facts)
    if stage is StageKind.EXPORT:
        known = repository.base_gguf(session, run.base, run.document.deploy.quant)
        return replace(facts, base_gguf=known)
    if stage is StageKind.DEPLOY:
        versions = deliveries.to_deploy(session, run)
        return replace(facts, deployables=tuple(pipeline.deployable(version) for version in versions))
    if stage is StageKind.EVALUATE:
        return replace(facts, contest=_contest(session, run, settings))
    return facts


def _from_live(session: Session, run: Run, facts: pipeline.Facts) -> pipeline.Facts:
    """The live version's adapter to go on from, and its dataset to replay; the bare base where it is live, or another base."""
    live = repository.live(session, run.domain)
    version = repository.version(session, run.domain, live) if live is not None else None
    known = repository.base_gguf(session, run.base, run.document.deploy.quant)
    if (
        version is None
        or version.adapter is None
        or known is None
        or version.base_gguf.sha256 != known.sha256
    ):
        return facts
    return replace(facts, parent=version.adapter.sha256, replay=version.dataset)


def _contest(session: Session, run: Run, settings: Settings) -> pipeline.Contest:
    """Candidate and incumbent, as models; notes on the run which version it is judged against."""
    assert run.version is not None
    candidate = repository.version(session, run.domain, run.version)
    live = repository.live(session, run.domain)
    wanted = live if run.opponent is None else run.opponent
    run.incumbent = None if wanted == run.version else wanted
    contest = pipeline.Contest(
        candidate=candidate.model,
        candidate_probes=candidate.probes,
        is_against_live=wanted == live,
        parity_share=settings.parity_share,
    )
    if run.kind is RunKind.TRAIN:
        others = [row.document for row in repository.domains(session)]
        contest = replace(
            contest,
            judged_before=repository.judged_before(session, run),
            guards=pipeline.guards(run.document, others),
        )
    if run.incumbent is None:
        return contest
    incumbent = repository.version(session, run.domain, run.incumbent)
    return replace(contest, incumbent=incumbent.model, incumbent_probes=incumbent.probes)
