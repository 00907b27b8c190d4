"""What `forge runs show` says of an export."""

from __future__ import annotations

import pytest

from forge_cli.commands.runs import show_run
from forge_cli.console import err, out
from forge_common.contracts.base import ArtifactRef, RunId, StageId, utc_now
from forge_common.contracts.runs import Hardware, RunKind, RunState, RunView, StageView
from forge_common.contracts.stages import ExportResult, StageKind


def run_with(**changes):
    result = ExportResult(
        base_gguf=ArtifactRef(sha256="a" * 64, size=1, kind="gguf"),
        base_probes=(),
        verified=15,
        compared=16,
        seconds=1.0,
        versions={},
        **changes,
    )
    stage = StageView(
        id=StageId("s"),
        kind=StageKind.EXPORT,
        queue="q",
        attempts=(),
        result=result.model_dump(mode="json"),
    )
    return RunView(
        id=RunId("run_1"),
        domain="nano",
        kind=RunKind.TRAIN,
        state=RunState.KEPT,
        hardware=Hardware.AUTO,
        created_at=utc_now(),
        stages=(stage,),
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "export: 15 of 16 answers equal the trained weights' token for token"),
        ({"quant": "q4_k_m"}, "token for token (q4_k_m)"),
        (
            {"quant": "q8_0", "notice": "written as q8_0: no llama.cpp"},
            "(q8_0); written as q8_0: no llama.cpp",
        ),
    ],
)
def test_a_runs_export_says_how_many_answers_were_equal_and_what_stands_in(changes, said):
    with out.capture() as shown, err.capture() as noted:
        show_run(run_with(**changes))

    assert said in " ".join((shown.get() + noted.get()).split())
