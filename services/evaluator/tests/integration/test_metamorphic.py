"""Relations between scores that hold for every right scorer, over every shipped benchmark, in the real sandbox."""

from __future__ import annotations

import pytest

from forge_common.contracts.domain import Scoring
from forge_evaluator.benchmarks import read, shipped
from forge_evaluator.benchmarks.load import shipped_names
from forge_evaluator.metamorphic import measure
from forge_evaluator.sandbox import Pool
from forge_evaluator.scorers import score

pytestmark = pytest.mark.integration

# Every task is measured by `bench/metamorphic.py`; here as many of each benchmark as tests may take time for.
_TASKS = 24


@pytest.fixture(scope="module")
def pool(best_tier):
    with Pool(best_tier) as pool:
        yield pool


@pytest.mark.parametrize("name", shipped_names())
def test_no_relation_between_scores_is_broken(pool, name):
    scored = [task for task in read(shipped(name)).tasks if task.check is not None]
    tasks = scored[:: max(1, len(scored) // _TASKS)]

    rows = [measure(task, lambda t, answered: score(t, answered, Scoring(), pool)) for task in tasks]

    assert {row.task: row.broken for row in rows if row.broken} == {}
    assert [row.task for row in rows if (row.points["gold"] or 0) < 95] == []
