"""A model card says what is known, with intervals, and says what is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from forge_cli.model_card import Facts, Shape, render
from forge_common.contracts.base import ArtifactRef, RunId, StageId
from forge_common.contracts.dataset import DatasetManifest, FilterCount, RuleCount, SourceCount
from forge_common.contracts.domain import DomainDocument
from forge_common.contracts.runs import (
    Hardware,
    Provenance,
    RunKind,
    RunState,
    RunView,
    StageView,
    VersionView,
)
from forge_common.contracts.scorecard import Figure, GroupScore, Scorecard, Verdict
from forge_common.contracts.stages import BaseModelRef, ExportResult, StageKind, TrainResult
from forge_common.weights.export import Parity

NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)


def ref(letter="a", kind="gguf"):
    return ArtifactRef(sha256=letter * 64, size=10, kind=kind)


def figure_of(group):
    return GroupScore(group=group, candidate=figure(70))


def figure(mean, half=3.0):
    return Figure(n=100, mean=mean, low=mean - half, high=mean + half, stderr=half / 2)


DOCUMENT = DomainDocument(
    id="coding",
    name="Coding",
    base_model="acme/base",
    model_prefix="engie-coder",
    system_prompt="You write\nPython.",
)
MANIFEST = DatasetManifest(
    domain="coding",
    train=ref(kind="rows"),
    valid=ref(kind="rows"),
    train_rows=360,
    valid_rows=40,
    seen=512,
    dropped=(FilterCount(reason="too short", rows=12),),
    conversations=300,
    benchmark="b" * 64,
    policy=(
        RuleCount(rule="open-*", source="shipped", eligible=True, reason="open | free", exchanges=400),
        RuleCount(rule="closed-*", source="yours", eligible=False, reason="its terms", exchanges=100),
    ),
    sources=(
        SourceCount(origin="proxy", model="open-coder", rows=390),
        SourceCount(origin="practice", model=None, rows=10),
    ),
)
CARD = Scorecard(
    domain="coding",
    benchmark="b" * 64,
    tasks=100,
    samples=4,
    seed=0,
    temperature=0.7,
    candidate="engie-coder:v3",
    incumbent="engie-coder:v2",
    sandbox="bubblewrap",
    overall=GroupScore(
        group="overall", candidate=figure(84), incumbent=figure(80.5), difference=figure(3.5, 2)
    ),
    groups=(),
    outcomes={},
    infra_error_share=0.0,
    lower_bound=1.8,
    alpha=0.05,
    detectable=None,
    verdict=Verdict.PROMOTE,
    reasons=("the gain is real",),
)
TRAINED = TrainResult(
    adapter=ref(kind="adapter"),
    curve=(),
    steps=60,
    best_step=40,
    train_loss=0.5,
    valid_loss=0.6,
    tokens=120_000,
    seconds=90.0,
    peak_memory_bytes=3 * 2**30,
    device="cuda",
    versions={"torch": "2.13.0", "peft": "0.21.2"},
)
EXPORTED = ExportResult(
    base_gguf=ref(), base_probes=(), verified=15, compared=16, quant="q4_k_m", seconds=1.0, versions={}
)


def stage(kind, result):
    return StageView(
        id=StageId(f"s-{kind}"), kind=kind, queue="q", attempts=(), result=result.model_dump(mode="json")
    )


@pytest.fixture
def facts():
    version = VersionView(
        domain="coding",
        number=3,
        model="engie-coder:v3",
        is_live=True,
        is_deployed=True,
        created_at=NOW,
        run_id=RunId("run_1"),
        adapter=ref("c", "adapter"),
        dataset="d" * 64,
    )
    run = RunView(
        id=RunId("run_1"),
        domain="coding",
        kind=RunKind.TRAIN,
        state=RunState.PROMOTED,
        hardware=Hardware.AUTO,
        created_at=NOW,
        stages=(stage(StageKind.TRAIN, TRAINED), stage(StageKind.EXPORT, EXPORTED)),
    )
    return Facts(
        provenance=Provenance(
            version=version, document=DOCUMENT, base=BaseModelRef(name="acme/base"), base_gguf=ref()
        ),
        shape=Shape.ADAPTER,
        licence="apache-2.0",
        run=run,
        dataset=MANIFEST,
        scorecard=CARD,
    )


@pytest.mark.parametrize(
    "line",
    [
        "license: apache-2.0",
        "base_model: acme/base",
        "library_name: peft",
        "# engie-coder-v3",
        "> You write\n> Python.",
        "| proxy | open-coder | 390 |",
        "| practice | not said | 10 |",
        "| open-* | shipped | yes | 400 | open \\| free |",
        "| closed-* | yours | no | 100 | its terms |",
        "360 training and 40 validation rows from 300 conversations; 512 exchanges were looked at.",
        "Left out: 12 too short.",
        "The benchmark's own prompts were kept out.",
        "| steps | 60; the best checkpoint is of step 40 |",
        "| what decides: overall | 100 | 84.0 (81.0 to 87.0) | 80.5 (77.5 to 83.5) | +3.5 (+1.5 to +5.5) |",
        "**engie-coder:v3 is better than engie-coder:v2: it may go live.** The gain is real.",
        "to 15 of 16 questions",
        "peft 0.21.2, torch 2.13.0",
    ],
)
def test_the_card_says_what_the_registry_knows(facts, line):
    assert line in render(facts)


def test_what_is_not_known_is_said_to_be_unknown(facts):
    bare = render(replace(facts, licence=None, run=None, dataset=None, scorecard=None))

    assert "license:" not in bare
    for said in (
        "state no licence",
        "no longer stored",
        "was not evaluated",
        "No export of this version is on record",
    ):
        assert said in bare


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"is_verified": True}, "is that one"),
        ({"anew": Parity(14, 16, 40, 48)}, "written anew from the same weights: llama.cpp gave the trained"),
        ({"anew": Parity(14, 16, 40, 48)}, "to 14 of 16 questions."),
        ({}, "was not compared: the questions were erased"),
    ],
)
def test_a_gguf_says_how_the_very_file_was_compared(facts, found, said):
    card = render(replace(facts, shape=Shape.GGUF, file="engie-coder-v3-q4_k_m.gguf", **found))

    assert said in card
    assert "FROM ./engie-coder-v3-q4_k_m.gguf" in card


def test_a_group_that_is_one_category_is_said_once(facts):
    group = GroupScore(group="coding", candidate=figure(84))
    card = CARD.model_copy(update={"groups": (group,), "categories": (group, figure_of("sql"))})

    lines = render(replace(facts, scorecard=card)).splitlines()

    assert [line.split(" | ")[0] for line in lines if line.startswith(("| coding", "| sql"))] == [
        "| coding",
        "| sql",
    ]


def test_a_version_without_an_incumbent_has_no_column_for_one(facts):
    alone = CARD.model_copy(
        update={"incumbent": None, "overall": GroupScore(group="overall", candidate=figure(84))}
    )

    assert "| what decides: overall | 100 | 84.0 (81.0 to 87.0) |\n" in render(
        replace(facts, scorecard=alone)
    )
