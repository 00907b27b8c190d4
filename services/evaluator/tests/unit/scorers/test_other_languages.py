"""Languages without a sandbox, as the seed's tasks bring them: parsed and compared, never run, and without a pass mark."""

from __future__ import annotations

import json

import pytest

from forge_common.contracts.domain import Scoring
from forge_evaluator.benchmarks import read
from forge_evaluator.scorers import Answered, score

GOLD = {
    "go": "func Double(n int) int {\n\tif n == 0 {\n\t\treturn 0\n\t}\n\treturn 2 * n\n}",
    "rust": "fn double(n: i64) -> i64 {\n    if n == 0 {\n        return 0;\n    }\n    n * 2\n}",
    "java": "class Doubler {\n    static int twice(int n) {\n        return 2 * n;\n    }\n}",
    "c": "int twice(int n) {\n    return 2 * n;\n}",
    "cpp": "#include <vector>\nint twice(std::vector<int> n) {\n    return 2 * n.front();\n}",
}


def judged(language, code):
    fenced = f"```{language}\n{{}}\n```"
    line = {"id": "t", "category": "coding", "language": language, "prompt": "Double a number.",
            "requirements": ["n"], "gold_answer": fenced.format(GOLD[language])}  # fmt: skip
    (task,) = read(json.dumps(line).encode()).tasks
    assert task.check.kind == "parsed"
    return score(task, Answered(text=fenced.format(code)), Scoring(), None)


@pytest.mark.parametrize("language", GOLD)
def test_the_gold_answer_is_right_as_far_as_can_be_told_and_has_no_pass_mark(language):
    found = judged(language, GOLD[language])

    assert found.points >= 95
    assert found.parts.correctness is None
    assert found.outcome is None


@pytest.mark.parametrize("language", GOLD)
def test_code_that_does_not_parse_scores_nothing_and_lowers_no_pass_rate(language):
    found = judged(language, GOLD[language].replace("(", "((", 1))

    assert found.points == 0
    assert found.outcome is None
    assert "does not parse" in found.explanation
