from __future__ import annotations

from pathlib import Path

import pytest

from forge_common.contracts.base import RunId, StageId
from forge_common.contracts.stages import BaseModelRef, Deployable, DeployRequest, StageClaim, TrainRequest
from forge_common.engine import Answer, EngineRefused, EngineUnavailable, Tag
from forge_common.errors import Cancelled, Invalid
from forge_common.queue.stage import Beat
from forge_registry.deploy import Deployment, DeploymentUnfaithful


class Shelf:
    """An engine in memory: keeps what it is told and answers `tuned` for whatever carries an adapter."""

    def __init__(self):
        self.blobs, self.models, self.created = set(), {}, []

    def push_blob(self, sha256, source):
        self.blobs.add(sha256)

    def create(self, name, *, gguf_sha=None, from_=None, adapter_sha=None, system=None, parameters=None):
        assert {sha for sha in (gguf_sha, adapter_sha) if sha} <= self.blobs
        self.models[name] = (gguf_sha or self.models[from_][0], adapter_sha)
        self.created.append((name, from_, system, parameters))

    def tag(self, name):
        return Tag(name, f"digest of {name}", 1) if name in self.models else None

    def chat(self, model, messages, *, options):
        return Answer("tuned" if self.models[model][1] else "bare", "stop", 1, 1, 0.0)


@pytest.fixture
def engine():
    return Shelf()


def deploy(engine, *versions, beat=None):
    claim = claim_of(DeployRequest(versions=versions))
    return Deployment(engine, Path, 0.5, 60).work(claim, beat or Beat()).deployed


def claim_of(request) -> StageClaim:
    return StageClaim(
        stage_id=StageId("s"), run_id=RunId("r"), token=1, lease_s=30, attempt=1, request=request
    )


def version_of(make, number: int, *, adapter: bool, answers: tuple[str, ...], **changes) -> Deployable:
    fields = {
        "model": f"engie-tiny:v{number}",
        "gguf": make.ref(b"base"),
        "adapter": make.ref(b"lora") if adapter else None,
        "system_prompt": "Be brief.",
        "parameters": {"num_ctx": 512},
        "probes": tuple(make.probe(answer) for answer in answers),
    }
    return Deployable(**(fields | changes))


def test_v0_is_the_bare_base_with_the_domains_prompt_and_parameters(engine, make):
    done = deploy(engine, version_of(make, 0, adapter=False, answers=("bare",)))

    assert engine.created == [("engie-tiny:v0", None, "Be brief.", {"num_ctx": 512})]
    assert (done[0].probes_equal, done[0].probes_asked, done[0].digest) == (1, 1, "digest of engie-tiny:v0")


def test_an_adapter_goes_on_a_bare_base_that_all_versions_share(engine, make):
    for number in (1, 2):
        deploy(engine, version_of(make, number, adapter=True, answers=("tuned",)))

    base = f"forge-base:{make.ref(b'base').sha256[:12]}"
    assert [(name, parent) for name, parent, *_ in engine.created] == [
        (base, None),
        ("engie-tiny:v1", base),
        ("engie-tiny:v2", base),
    ]


def test_a_model_that_answers_something_else_is_not_deployed(engine, make):
    with pytest.raises(DeploymentUnfaithful, match="1 of 4 probes"):
        deploy(engine, version_of(make, 1, adapter=True, answers=("bare", "bare", "bare", "tuned")))


def test_a_few_near_ties_are_tolerated_and_told(engine, make):
    done = deploy(engine, version_of(make, 1, adapter=True, answers=("tuned", "tuned", "tuned", "bare")))

    assert (done[0].probes_equal, done[0].probes_asked) == (3, 4)


def test_deploying_twice_is_deploying_once(engine, make):
    version = version_of(make, 1, adapter=True, answers=("tuned",))

    assert deploy(engine, version) == deploy(engine, version)


def test_what_the_engine_has_already_is_left_alone(engine, make):
    version = version_of(make, 1, adapter=True, answers=("tuned",))
    (first,) = deploy(engine, version)
    engine.created.clear()

    (again,) = deploy(engine, version.model_copy(update={"digest": first.digest}))

    assert engine.created == []
    assert (again.digest, again.probes_asked) == (first.digest, 0)


@pytest.mark.parametrize("digest", [None, "of what another engine had"])
def test_what_the_engine_has_not_or_not_like_this_is_deployed_again(engine, make, digest):
    version = version_of(make, 0, adapter=False, answers=("bare",))
    deploy(engine, version)
    engine.created.clear()

    (again,) = deploy(engine, version.model_copy(update={"digest": digest}))

    assert [name for name, *_ in engine.created] == ["engie-tiny:v0"]
    assert again.probes_equal == 1


@pytest.mark.parametrize(("status", "retryable"), [(400, False), (500, True)])
def test_an_engine_that_falters_is_tried_again_and_one_that_refuses_is_not(engine, make, status, retryable):
    def refuse(*_, **__):
        raise EngineRefused("no", status=status)

    engine.create = refuse

    with pytest.raises(EngineRefused) as refusal:
        deploy(engine, version_of(make, 0, adapter=False, answers=("bare",)))

    assert refusal.value.retryable is retryable


def test_an_engine_that_is_being_restarted_is_waited_for(engine, make, monkeypatch):
    monkeypatch.setattr("forge_registry.deploy.PAUSE_S", 0.0)
    refusals = iter([True, True])
    create = engine.create

    def flicker(*arguments, **named):
        if next(refusals, False):
            raise EngineUnavailable("away")
        create(*arguments, **named)

    engine.create = flicker

    done = deploy(engine, version_of(make, 0, adapter=False, answers=("bare",)))

    assert done[0].model == "engie-tiny:v0"


def test_an_engine_that_stays_away_ends_the_attempt(engine, make):
    def away(*_, **__):
        raise EngineUnavailable("away")

    engine.create = away
    request = DeployRequest(versions=(version_of(make, 0, adapter=False, answers=("bare",)),))

    with pytest.raises(EngineUnavailable):
        Deployment(engine, Path, 0.5, 0).work(claim_of(request), Beat())


def test_a_cancelled_run_is_not_deployed_further(engine, make):
    beat = Beat()
    beat.cancel()

    with pytest.raises(Cancelled):
        deploy(engine, version_of(make, 0, adapter=False, answers=("bare",)), beat=beat)

    assert engine.models == {}


def test_other_work_is_refused(engine, document):
    request = TrainRequest(domain=document, dataset="d" * 64, base=BaseModelRef(name="b"))

    with pytest.raises(Invalid, match="cannot train"):
        Deployment(engine, Path, 0.5, 60).work(claim_of(request), Beat())
