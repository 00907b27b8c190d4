"""`python -m forge_common.testing.trainers.starved_child`: a trainer's child whose memory runs out, once, for a batch of more than so many tokens.

The nth piece of work that asks for room is the one; there is room for everything before and after it.
"""

from __future__ import annotations

import os
import runpy
from collections.abc import Callable
from typing import Any

from forge_common.weights.room import Room

CHILD, STARVE_AT, FITS = "FORGE_TEST_CHILD", "FORGE_TEST_STARVE_AT", "FORGE_TEST_FITS"


def main() -> None:
    starve_at, fits = int(os.environ[STARVE_AT]), int(os.environ[FITS])
    fit, asked = Room.fit, 0

    def starved(room: Room, longest: int, work: Callable[[int], Any], undo: Callable[[], None]) -> Any:
        nonlocal asked
        asked += 1
        is_time = asked == starve_at

        def with_little(max_tokens: int) -> Any:
            if is_time and max_tokens > fits:
                raise MemoryError
            return work(max_tokens)

        return fit(room, longest, with_little, undo)

    Room.fit = starved  # type: ignore[method-assign, assignment]
    runpy.run_module(os.environ[CHILD], run_name="__main__")


if __name__ == "__main__":
    main()
