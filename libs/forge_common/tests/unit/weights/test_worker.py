"""What a trainer's worker does besides working."""

from __future__ import annotations

import os
import time

from forge_common.weights.settings import TrainerSettings
from forge_common.weights.worker import sweep


class Settings(TrainerSettings):
    place = "trainer"


def test_only_leavings_of_long_ago_are_removed(tmp_path):
    settings = Settings(home=tmp_path, name="t")
    old, new = (settings.workdir / "runs" / name for name in ("run_old", "run_new"))
    for folder in (old, new):
        folder.mkdir(parents=True)
    week_ago = time.time() - 8 * 86_400
    os.utime(old, (week_ago, week_ago))

    sweep(settings)

    assert (old.exists(), new.exists()) == (False, True)
