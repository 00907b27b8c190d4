"""The nano domain's practice tasks, made from instances that are not held out: `python -m forge_common.nano.practice FILE`.

Shipped with the evaluator for `forge iterate`; this makes the same bytes again. The first cases are visible, the rest hidden.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from forge_common.nano import tasks

Line: TypeAlias = dict[str, object]

# Another seed than the demo's traffic has: what was captured is not practised again.
SEED = 4711
ROUNDS = 2
VISIBLE = 3


def lines() -> Iterator[Line]:
    """Two tasks of each coding family."""
    drawn = islice(tasks.training_tasks(SEED, wording=0), ROUNDS * len(tasks.FAMILIES))
    for number, task in enumerate(drawn, start=1):
        yield {
            "id": f"nano-practice-{number:03}",
            "category": task.family.name,
            "domain_group": "coding",
            "prompt": task.prompt,
            "requirements": [f"def {task.name}(", "return"],
            "gold_answer": task.answer,
            "test_cases": {
                "kind": "code",
                "entry_point": task.name,
                "tests": [
                    asdict(case) | ({"hidden": True} if turn >= VISIBLE else {})
                    for turn, case in enumerate(tasks.cases(task))
                ],
            },
        }


def dump() -> str:
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines())


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(dump(), encoding="utf-8")
