"""How alpha is spent, and which runs may choose what they judge."""

import pytest
from pydantic import ValidationError

from forge_common.contracts.domain import GateRules
from forge_common.contracts.runs import RunKind, RunRequest


def test_alpha_is_spent_over_the_candidates_of_one_benchmark_version():
    levels = [GateRules().alpha_for(judged_before) for judged_before in range(5)]

    assert levels == pytest.approx([0.05, 0.025, 0.01, 0.01, 0.01])


@pytest.mark.parametrize("choice", [{"opponent": 1}, {"benchmark": "a" * 64}])
def test_only_an_evaluation_names_its_opponent_or_its_benchmark(choice):
    assert RunRequest(domain="coding", kind=RunKind.EVAL, **choice)
    with pytest.raises(ValidationError, match="only a run of kind `eval`"):
        RunRequest(domain="coding", **choice)
