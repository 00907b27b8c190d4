"""What a trainer says of a request before it works on it."""

from __future__ import annotations

from pathlib import Path

from forge_common.artifacts import ArtifactClient
from forge_common.contracts.stages import BaseModelRef, TrainRequest
from forge_common.testing.trainers.shared import Witness, nano_domain
from forge_common.weights.stages import _older


def test_a_replay_without_a_parent_is_said_and_not_passed_over(tmp_path: Path) -> None:
    nobody, said = ArtifactClient("http://127.0.0.1:9", None, tmp_path), Witness()

    for replay in (0.25, 0.0):
        request = TrainRequest(
            domain=nano_domain(replay=replay), dataset="0" * 64, base=BaseModelRef(name="nano")
        )
        assert _older(request, nobody, said) is None

    assert [progress.message for progress in said.seen] == [
        "nothing is replayed: this training goes on from no version (training.start_from)"
    ]
