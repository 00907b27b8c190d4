from __future__ import annotations

import itertools
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from forge_common.contracts.runs import PromoteRequest, RollbackRequest
from forge_common.contracts.scorecard import Verdict
from forge_common.contracts.stages import StageKind
from forge_common.errors import DependencyDown, RemoteProblem

pytestmark = pytest.mark.integration


def live(registry) -> list[int]:
    return [version.number for version in registry.versions("tiny") if version.is_live]


@pytest.fixture
def three_versions(hand, registry):
    """v1 and v2 were promoted one after the other, on v0."""
    hand.domain()
    hand.train()
    hand.train()
    assert live(registry) == [2]


def test_rollback_restores_the_previous_live_version(three_versions, registry):
    moved = registry.rollback("tiny", RollbackRequest(reason="worse on Fridays"))

    assert (moved.version, moved.previous, moved.kind, moved.reason) == (1, 2, "rollback", "worse on Fridays")
    assert live(registry) == [1]


def test_repeated_rollbacks_walk_back_and_stop_at_v0(three_versions, registry):
    walked = [registry.rollback("tiny", RollbackRequest()).version for _ in range(2)]

    assert walked == [1, 0]
    with pytest.raises(RemoteProblem, match="nothing was live before v0 in 'tiny'") as refusal:
        registry.rollback("tiny", RollbackRequest())
    assert (refusal.value.status, refusal.value.code) == (409, "nothing_below")
    assert live(registry) == [0]


def test_rollback_to_a_version_goes_straight_there_and_on_from_there(three_versions, registry):
    registry.promote("tiny", PromoteRequest(version=1))

    assert registry.rollback("tiny", RollbackRequest(to=0)).version == 0
    with pytest.raises(RemoteProblem, match="nothing older"):
        registry.rollback("tiny", RollbackRequest())


def test_rollback_to_a_version_that_was_not_live_before_is_refused(three_versions, registry):
    registry.rollback("tiny", RollbackRequest())

    with pytest.raises(RemoteProblem) as refusal:
        registry.rollback("tiny", RollbackRequest(to=2))

    assert refusal.value.code == "nothing_below"
    assert "forge promote 2" in refusal.value.fix


def test_a_version_can_be_promoted_again_and_rolled_back_again(three_versions, registry):
    registry.rollback("tiny", RollbackRequest())
    registry.promote("tiny", PromoteRequest(version=2, reason="it was fine"))
    assert live(registry) == [2]

    assert registry.rollback("tiny", RollbackRequest()).version == 1
    assert registry.rollback("tiny", RollbackRequest()).version == 0


def test_promoting_what_is_live_changes_nothing(three_versions, registry):
    before = registry.promotions("tiny")

    again = registry.promote("tiny", PromoteRequest(version=2))

    assert again == before[0]
    assert registry.promotions("tiny") == before


def test_of_twenty_promotions_at_once_one_version_is_live_and_none_is_lost(three_versions, registry):
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda n: registry.promote("tiny", PromoteRequest(version=n % 3)), range(20)))

    history = registry.promotions("tiny")
    assert live(registry) == [history[0].version]
    for newer, older in itertools.pairwise(history):
        assert newer.previous == older.version


def test_rollbacks_at_once_never_skip_a_step(three_versions, registry):
    def attempt(_):
        try:
            return registry.rollback("tiny", RollbackRequest()).version
        except RemoteProblem as refusal:
            return refusal.code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(attempt, range(8)))

    steps = [answer for answer in answers if isinstance(answer, int)]
    assert steps in ([1], [1, 0], [0, 1])
    assert set(answers) - set(steps) <= {"pointer_moved", "nothing_below"}


def test_an_unknown_version_cannot_be_promoted(three_versions, registry):
    with pytest.raises(RemoteProblem) as refusal:
        registry.promote("tiny", PromoteRequest(version=9))

    assert (refusal.value.status, refusal.value.code) == (404, "version_unknown")
    assert refusal.value.fix == "`forge versions` lists them"


def test_a_version_that_was_never_deployed_cannot_be_promoted(hand, registry):
    hand.domain()
    run = hand.start()
    hand.until(run, StageKind.DEPLOY)
    registry.cancel_run(run.id)

    with pytest.raises(RemoteProblem) as refusal:
        registry.promote("tiny", PromoteRequest(version=1))

    assert (refusal.value.status, refusal.value.code) == (409, "version_not_deployed")


def test_a_promotion_whose_preflight_fails_is_refused_with_the_reason(three_versions, registry, engine):
    engine.lies["engie-tiny:v1"] = "something else"

    with pytest.raises(RemoteProblem, match="not what the trained weights answer") as refusal:
        registry.promote("tiny", PromoteRequest(version=1))

    assert (refusal.value.status, refusal.value.code) == (409, "preflight_refused")
    assert live(registry) == [2]


def test_promoting_a_version_that_the_engine_lost_deploys_it_again_first(three_versions, registry, engine):
    made = engine.models.pop("engie-tiny:v1")

    registry.promote("tiny", PromoteRequest(version=1))

    assert live(registry) == [1]
    assert engine.models["engie-tiny:v1"] == made


def test_rolling_back_in_a_new_engine_deploys_the_version_first(three_versions, registry, engine):
    engine.forget_everything()

    registry.rollback("tiny", RollbackRequest())

    assert live(registry) == [1]
    assert "+" in engine.models["engie-tiny:v1"]


def test_promoting_what_is_live_brings_it_and_its_alias_back(three_versions, registry, engine, eventually):
    engine.forget_everything()

    registry.promote("tiny", PromoteRequest(version=2))

    assert [promotion.version for promotion in registry.promotions("tiny")] == [2, 1, 0]
    eventually(lambda: engine.models.get("engie-tiny:latest") == engine.models["engie-tiny:v2"])


def test_a_name_that_stands_for_something_else_by_now_is_put_right(three_versions, registry, engine):
    made, engine.models["engie-tiny:v1"] = engine.models["engie-tiny:v1"], "somebody else's"

    registry.promote("tiny", PromoteRequest(version=1))

    assert engine.models["engie-tiny:v1"] == made


def test_what_the_engine_has_is_not_deployed_again(three_versions, registry, engine):
    engine.calls.clear()

    registry.promote("tiny", PromoteRequest(version=1))

    assert not [path for path, _ in engine.calls if path == "/api/create"]


def test_a_version_that_cannot_be_deployed_again_is_refused_with_the_reason(
    three_versions, registry, engine, settings
):
    engine.forget_everything()
    shutil.rmtree(settings.artifact_root)

    with pytest.raises(RemoteProblem, match="cannot be deployed again: no artifact") as refusal:
        registry.promote("tiny", PromoteRequest(version=1))

    assert (refusal.value.status, refusal.value.code) == (409, "preflight_refused")
    assert live(registry) == [2]


def test_without_an_engine_nothing_is_promoted_or_rolled_back(three_versions, registry, engine):
    engine.stop()

    with pytest.raises(DependencyDown):
        registry.promote("tiny", PromoteRequest(version=1))
    with pytest.raises(DependencyDown):
        registry.rollback("tiny", RollbackRequest())
    assert live(registry) == [2]


def test_the_engines_alias_follows_the_pointer(three_versions, registry, engine, eventually):
    eventually(lambda: engine.models.get("engie-tiny:latest") == engine.models["engie-tiny:v2"])

    registry.rollback("tiny", RollbackRequest(to=0))

    eventually(lambda: engine.models["engie-tiny:latest"] == engine.models["engie-tiny:v0"])


def test_a_run_that_was_kept_can_be_promoted_by_hand(hand, registry):
    hand.domain()
    hand.train(verdict=Verdict.INCONCLUSIVE)

    moved = registry.promote("tiny", PromoteRequest(version=1, reason="I like it"))

    assert (moved.kind, moved.by) == ("manual", "installation key")
    assert live(registry) == [1]
