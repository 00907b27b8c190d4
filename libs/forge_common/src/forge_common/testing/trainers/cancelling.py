"""A run that is called off: whatever it is at, it ends within seconds and leaves no process behind."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from forge_common.artifacts import ArtifactClient
from forge_common.contracts.base import RunId, StageId
from forge_common.contracts.stages import (
    BaseModelRef,
    ExportRequest,
    StageClaim,
    StageRequest,
    TrainRequest,
)
from forge_common.errors import Cancelled
from forge_common.testing.artifact_server import serve_artifacts
from forge_common.testing.tiny_model import write_tiny_model
from forge_common.testing.trainers.shared import (
    Trainer,
    Witness,
    coding_pairs,
    nano_domain,
    push_dataset,
    write_rows,
)
from forge_common.weights.stages import Bench, work

# On a machine that has other things to do as well.
SECONDS = 5.0
# More than a minute's work for the tokenizer.
MANY = 60_000
# Sixty-four kilobytes at a time: the wide base takes a quarter of a minute.
PAUSE_S = 0.2


class TestCancelling:
    @pytest.fixture
    def registry_url(self, tmp_path: Path) -> Iterator[str]:
        """Hands its artifacts out slowly."""
        with serve_artifacts(tmp_path / "store", pause_s=PAUSE_S) as url:
            yield url

    @pytest.fixture
    def cancelled_bench(self, tmp_path: Path, trainer: Trainer, registry_url: str) -> Bench:
        return trainer.bench(tmp_path / "home", registry_url)

    @pytest.fixture
    def make_request(self, tmp_path: Path, registry_url: str) -> Callable[..., TrainRequest]:
        sender = ArtifactClient(registry_url, None, tmp_path / "sender")

        def make(base: Path, times: int = 1, **rules: Any) -> TrainRequest:
            pairs = coding_pairs(40)
            train = write_rows(tmp_path / "train.jsonl", pairs * times)
            dataset = push_dataset(sender, train, write_rows(tmp_path / "valid.jsonl", pairs[:8]))
            bundle = sender.push_bundle(base, "base").sha256
            return TrainRequest(
                domain=nano_domain(**rules),
                dataset=dataset.sha256,
                base=BaseModelRef(name="tiny", bundle=bundle),
            )

        return make

    def test_a_download_is_cancelled_within_seconds(
        self, cancelled_bench: Bench, make_request: Callable[..., TrainRequest], tmp_path: Path
    ) -> None:
        request = make_request(write_tiny_model(tmp_path / "wide", hidden_size=1024))
        arriving = cancelled_bench.settings.workdir / "artifacts"

        _assert_ends(cancelled_bench, request, lambda _: _size(arriving) > 1_000_000)

        # What came is kept for the next time.
        assert _size(arriving) > 1_000_000
        assert list((cancelled_bench.settings.workdir / "bases").iterdir()) == []

    def test_the_reading_of_rows_is_cancelled_within_seconds(
        self, trainer: Trainer, tiny: Path, tmp_path: Path, make_request: Callable[..., TrainRequest]
    ) -> None:
        request = make_request(tiny, times=MANY // 40)
        with serve_artifacts(tmp_path / "store") as fast:
            bench = trainer.bench(tmp_path / "home", fast)

            witness = _assert_ends(bench, request, lambda _: _reads_rows(), wait_s=3.0)

        assert witness.steps == []

    def test_a_training_is_cancelled_within_seconds(
        self, cancelled_bench: Bench, tiny: Path, make_request: Callable[..., TrainRequest]
    ) -> None:
        request = make_request(tiny, iterations=100_000)

        _assert_ends(cancelled_bench, request, lambda seen: bool(seen.steps))

    def test_an_export_is_cancelled_within_seconds(
        self, cancelled_bench: Bench, tiny: Path, make_request: Callable[..., TrainRequest]
    ) -> None:
        trained = make_request(tiny)
        request = ExportRequest(domain=trained.domain, base=trained.base, dataset=trained.dataset)

        _assert_ends(cancelled_bench, request, lambda _: bool(psutil.Process().children()))


def _assert_ends(
    bench: Bench, request: StageRequest, is_time: Callable[[Witness], bool], wait_s: float = 0.0
) -> Witness:
    """Cancel the stage `wait_s` after `is_time`, while it is worked on."""
    beat, cancelled_at = Witness(), []

    def cancel() -> None:
        until = time.monotonic() + 90
        while not is_time(beat):
            assert time.monotonic() < until, "it never came to that"
            time.sleep(0.02)
        time.sleep(wait_s)
        cancelled_at.append(time.monotonic())
        beat.cancel()

    canceller = threading.Thread(target=cancel, daemon=True)
    canceller.start()
    claim = StageClaim(
        stage_id=StageId("stage_1"), run_id=RunId("run_1"), token=1, lease_s=30, attempt=1, request=request
    )
    with pytest.raises(Cancelled):
        work(claim, beat, bench)
    ended_at = time.monotonic()
    canceller.join()

    assert ended_at - cancelled_at[0] < SECONDS
    assert psutil.Process().children() == []
    return beat


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _reads_rows() -> bool:
    """Whether a child has the dataset's rows open, which it tokenises next."""
    with contextlib.suppress(psutil.NoSuchProcess):  # one that has just ended
        return any(
            "/artifacts/" in file.path for child in psutil.Process().children() for file in child.open_files()
        )
    return False
