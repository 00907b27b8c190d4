"""GSM8K's records: a question in words, and a worked answer that ends with `#### ` and a number."""

from __future__ import annotations

import re

from forge_evaluator.benchmarks import NumberCheck, Task
from forge_evaluator.imports.records import Fields, Unreadable, label, text

_ASK = "Reason step by step. The last line of your answer is #### and then the result, as a number alone."
_FINAL = re.compile(r"####\s*[$€£]?\s*(-?[\d,]*\.?\d+)\s*%?\s*$")
# The calculator's annotations: <<48/2=24>>.
_ANNOTATION = re.compile(r"<<[^<>]*>>")


def task(fields: Fields, line: int) -> Task:
    question, answer = text(fields, "question"), text(fields, "answer")
    found = _FINAL.search(answer)
    if found is None:
        raise Unreadable("answer does not end with #### and a number")
    return Task(
        id=f"gsm8k/{label(fields, 'id') or line}",
        category="gsm8k",
        group="math",
        prompt=f"{question.strip()}\n\n{_ASK}",
        gold_answer=_ANNOTATION.sub("", answer).strip(),
        check=NumberCheck(value=float(found[1].replace(",", ""))),
    )
