from __future__ import annotations

import sys

import pytest

from forge_evaluator.sandbox import Limits, NoSandbox, Pool, Walls, probe

_HERE = [Walls.SEATBELT] if sys.platform == "darwin" else [Walls.BUBBLEWRAP, Walls.NAMESPACES, Walls.LANDLOCK]


@pytest.fixture(scope="session", params=_HERE)
def tier(request):
    try:
        return probe((request.param,))
    except NoSandbox as error:
        pytest.skip(error.message)


@pytest.fixture(scope="session")
def pool(tier):
    with Pool(tier, workers=2, limits=Limits(cpu_s=1, wall_s=12)) as pool:
        yield pool
