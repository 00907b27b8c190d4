"""Conversations of the nano domain as long as people's are: several turns, lengths log-normal. The same ones every time."""

from __future__ import annotations

import json
import math
from itertools import chain, islice
from pathlib import Path
from random import Random

from forge_common.nano import teacher
from forge_common.nano.general import training_questions
from forge_common.nano.tasks import training_tasks

MEDIAN_TOKENS = 300
SPREAD = 0.8
# The nano model sees 1,024 of them.
LONGEST = 1000
# Of a question with its answer and the template around both, on the nano tokenizer.
TOKENS_OF_A_TURN = 44


def write_chats(path: Path, n: int, seed: int) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in chats(n, seed)), encoding="utf-8")
    return path


def chats(n: int, seed: int) -> list[dict[str, object]]:
    """Dataset rows: what people ask for in turns, and the nano teacher's answers."""
    random = Random(seed)  # noqa: S311  a choice, not a secret
    prompts = chain.from_iterable(
        (task.prompt, question.prompt)
        for task, question in zip(training_tasks(seed), training_questions(seed), strict=False)
    )
    rows = []
    for number in range(n):
        length = min(LONGEST, random.lognormvariate(math.log(MEDIAN_TOKENS), SPREAD))
        asked = islice(prompts, max(1, min(LONGEST // TOKENS_OF_A_TURN, round(length / TOKENS_OF_A_TURN))))
        messages = [message for prompt in asked for message in _turn(prompt)]
        rows.append({"messages": messages, "source": f"chat-{number}"})
    return rows


def _turn(prompt: str) -> tuple[dict[str, str], dict[str, str]]:
    question = {"role": "user", "content": prompt}
    return question, {"role": "assistant", "content": teacher.answer([question])}
