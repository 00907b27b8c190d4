"""`judge check` and `judge compare`: how far a judge agrees with labels, and which of two answers it prefers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from forge_common.errors import Invalid
from forge_evaluator.events import Events
from forge_evaluator.scorers.agreement import ENOUGH, labels, make, measure, shipped_labels
from forge_evaluator.scorers.judge import Judge
from forge_evaluator.settings import Settings


def add(commands: Any) -> None:
    judge = commands.add_parser("judge", help="the optional LLM judge").add_subparsers(
        dest="action", required=True
    )
    checking = judge.add_parser("check", help="Cohen's kappa between the judge and labelled items")
    checking.add_argument("file", type=Path, nargs="?", help="labels (default: the shipped ones)")
    checking.set_defaults(run=_check)
    comparing = judge.add_parser("compare", help="which of two answers is better, asked in both orders")
    for name in ("prompt", "first", "second"):
        comparing.add_argument(name, type=Path, help="a text file")
    comparing.set_defaults(run=_compare)


def _check(arguments: argparse.Namespace, events: Events) -> int:
    items = labels(arguments.file.read_bytes() if arguments.file else shipped_labels())
    with _judge() as judge:
        found = measure(judge, items, told=lambda done, of: events.progress("asking the judge", done, of))
    events.result(found.model_dump() | {"needed": ENOUGH, "may_decide": found.is_enough})
    return 0 if found.is_enough else 1


def _compare(arguments: argparse.Namespace, events: Events) -> int:
    texts = [
        path.read_text(encoding="utf-8") for path in (arguments.prompt, arguments.first, arguments.second)
    ]
    with _judge() as judge:
        events.result({"model": judge.model, "better": judge.prefer(*texts).value})
    return 0


def _judge() -> Judge:
    settings = Settings()
    if not settings.judge_url or not settings.judge_model:
        raise Invalid(
            "no judge is configured", fix="set FORGE_EVALUATOR_JUDGE_URL and FORGE_EVALUATOR_JUDGE_MODEL"
        )
    return make(settings)
