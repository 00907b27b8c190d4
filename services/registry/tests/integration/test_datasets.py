"""What is left of a dataset that must be forgotten: the names of the versions that were trained on it."""

import pytest

from forge_common.artifacts import ArtifactMissing, ArtifactStore
from forge_common.contracts.dataset import DatasetManifest
from forge_common.contracts.runs import RunState
from forge_common.contracts.stages import StageKind
from forge_common.errors import RemoteProblem

pytestmark = pytest.mark.integration


def dataset(hand, text: str = "a prompt of somebody"):
    """A stored dataset whose rows hold `text`."""
    rows = [hand.upload(f"{part}: {text}", "dataset-rows") for part in ("train", "valid", "better")]
    train, valid, preferences = rows
    manifest = DatasetManifest(
        domain="tiny", train=train, valid=valid, train_rows=1, valid_rows=1, seen=2,
        preferences=preferences, preference_rows=1,
    )  # fmt: skip
    return hand.artifacts.push_bytes(manifest.model_dump_json().encode(), "dataset"), rows


def train_on(hand, ref):
    run = hand.start(dataset=ref.sha256)
    return hand.finish(run)


def database_text(migrated_url) -> str:
    import psycopg

    with psycopg.connect(migrated_url.replace("+psycopg", "")) as connection:
        tables = connection.execute(
            "select table_name from information_schema.tables where table_schema = 'registry'"
        ).fetchall()
        dumps = [
            connection.execute(f"select t::text from registry.{name} t").fetchall() for (name,) in tables
        ]
    return str(dumps)


@pytest.fixture
def trained(hand, make):
    hand.domain()
    ref, rows = dataset(hand)
    return train_on(hand, ref), ref, rows


def test_the_rows_are_gone_and_the_versions_are_named(hand, registry, context, trained):
    run, ref, rows = trained
    assert run.state is RunState.PROMOTED

    named = registry.forget_dataset(ref.sha256)

    assert [(v.domain, v.number, v.is_live) for v in named] == [("tiny", run.version, True)]
    store = ArtifactStore(context.store.root)
    for sha256 in (ref.sha256, *(row.sha256 for row in rows)):
        with pytest.raises(ArtifactMissing):
            store.path(sha256)


def test_forgetting_twice_says_the_same(registry, trained):
    _, ref, _ = trained

    assert registry.forget_dataset(ref.sha256) == registry.forget_dataset(ref.sha256)


def test_no_table_quotes_the_dataset_afterwards(hand, registry, migrated_url, make, monkeypatch):
    quoted, exported = "an answer from the rows", make.exported
    hand.domain()
    ref, _ = dataset(hand)
    with monkeypatch.context() as patch:
        probes = (make.probe("tuned answer"), make.probe(quoted))
        patch.setattr(make, "exported", staticmethod(lambda *of: exported(*of, probes=probes)))
        train_on(hand, ref)
    hand.train()  # a later run deploys the version again, with its probes
    assert quoted in database_text(migrated_url)

    registry.forget_dataset(ref.sha256)

    assert quoted not in database_text(migrated_url)


def test_a_dataset_that_a_run_is_working_with_is_kept(hand, registry, make):
    hand.domain()
    ref, rows = dataset(hand)
    run = hand.start(dataset=ref.sha256)
    hand.until(run, StageKind.EXPORT)

    with pytest.raises(RemoteProblem, match="is working with dataset") as refused:
        registry.forget_dataset(ref.sha256)

    assert f"forge runs cancel {run.id}" in str(refused.value.fix)
    assert hand.artifacts.fetch(rows[0].sha256).exists()


def test_another_artifact_is_not_taken_for_a_dataset(hand, registry):
    weights = hand.upload("weights", "adapter")

    with pytest.raises(RemoteProblem, match="no dataset"):
        registry.forget_dataset(weights.sha256)

    assert hand.artifacts.fetch(weights.sha256).exists()
