"""The nano benchmark's task file, made from held-out instances: `python -m forge_common.nano.benchmark FILE`.

It is shipped with the evaluator; this makes the same bytes again.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

from forge_common.nano import general, tasks

Line: TypeAlias = dict[str, object]


def lines() -> Iterator[Line]:
    """Two tasks of each coding family and six questions of each open general skill."""
    for number, task in enumerate(tasks.held_out_tasks(), start=1):
        yield _coding(number, task)
    for number, question in enumerate(general.held_out_questions(), start=1):
        yield _general(number, question)


def dump() -> str:
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines())


def _coding(number: int, task: tasks.Task) -> Line:
    return {
        "id": f"nano-coding-{number:03}",
        "category": "coding",
        "domain_group": "coding",
        "prompt": task.prompt,
        "requirements": [f"def {task.name}(", "return"],
        "gold_answer": task.answer,
        "test_cases": {
            "kind": "code",
            "entry_point": task.name,
            "tests": [asdict(case) for case in tasks.cases(task)],
        },
    }


def _general(number: int, question: general.Question) -> Line:
    return {
        "id": f"nano-general-{number:03}",
        "category": "general",
        "domain_group": "general",
        "prompt": question.prompt,
        "requirements": [question.answer],
        "gold_answer": question.answer,
        "test_cases": {"kind": "exact", "expected": question.answer},
    }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(dump(), encoding="utf-8")
