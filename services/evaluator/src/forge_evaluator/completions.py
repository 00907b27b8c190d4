"""Answers made elsewhere, `{task_id, completion}` a line: read, matched to a benchmark's tasks and scored. Calls no model."""

from __future__ import annotations

import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from forge_common.artifacts import sha256_of
from forge_common.contracts.domain import Scoring
from forge_common.contracts.scorecard import GroupScore, Scorecard, Verdict
from forge_common.errors import Invalid
from forge_evaluator import extract, scorers
from forge_evaluator.benchmarks import Benchmark, Task
from forge_evaluator.gate import Pair
from forge_evaluator.imports.records import Fields, RecordFile, Unreadable, text
from forge_evaluator.report import group_score, infra_share, pair_up, pass_rates
from forge_evaluator.samples import Key, Role, Sample, SampleLog
from forge_evaluator.scorers import Answered, score
from forge_evaluator.scorers.code import Runs

_NAMES = ("completion", "solution", "answer", "response", "output")


class NoAnswers(Invalid):
    """The file answers nothing that the benchmark asks."""


@dataclass(frozen=True, slots=True)
class Refused:
    line: int
    reason: str


@dataclass(slots=True)
class Answers:
    """Several answers to a task are its samples, in the file's order. `unknown` counts ids that the benchmark lacks."""

    sha256: str
    texts: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    unknown: Counter[str] = field(default_factory=Counter)
    refused: list[Refused] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(map(len, self.texts.values()))

    def missing(self, benchmark: Benchmark) -> list[str]:
        return [task.id for task in benchmark.tasks if task.id not in self.texts]


def read_answers(path: Path, benchmark: Benchmark) -> Answers:
    """Raises NoAnswers when none of the file's ids is one of the benchmark's."""
    file, names = RecordFile(path), _names(benchmark.tasks)
    answers = Answers(sha256_of(path))
    try:
        for record in file.records():
            try:
                name, texts = _answer(record.fields, record.refused)
            except Unreadable as error:
                answers.refused.append(Refused(record.line, error.message))
                continue
            task = names.get(name) or names.get(_loose(name))
            if task is None:
                answers.unknown[name] += 1
            else:
                answers.texts[task].extend(texts)
    finally:
        file.close()
    if not answers.texts:
        raise NoAnswers(_nothing(path, answers), fix="is this the benchmark that the answers were made for?")
    return answers


def _nothing(path: Path, answers: Answers) -> str:
    if answers.unknown:
        ids = ", ".join(list(answers.unknown)[:3])
        return f"{path} answers none of the benchmark's tasks; its ids are {ids}, …"
    if answers.refused:
        first = answers.refused[0]
        return f"{path} has no answers; line {first.line}: {first.reason}"
    return f"{path} is empty"


def _names(tasks: Sequence[Task]) -> dict[str, str]:
    """Ids, and what they are called without the name of their data set where that is one task only."""
    loose = Counter(_loose(task.id) for task in tasks)
    short = {_loose(task.id): task.id for task in tasks if loose[_loose(task.id)] == 1}
    return short | {task.id: task.id for task in tasks}


def _loose(name: str) -> str:
    return name.rpartition("/")[2].casefold()


def _answer(fields: Fields, refused: str | None) -> tuple[str, list[str]]:
    """The task's id and what was said; an answer may be empty, an id not. Raises Unreadable."""
    if refused is not None:
        raise Unreadable(refused)
    given = fields.get("task_id", fields.get("id"))
    name = str(given) if isinstance(given, int) and not isinstance(given, bool) else None
    name = name or text(fields, "task_id", "id")
    key = next((key for key in _NAMES if key in fields), None)
    if key is None:
        raise Unreadable(f"no {', '.join(_NAMES)}")
    value = fields[key]
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(item, str) for item in texts):
        raise Unreadable(f"{key} is not a text")
    return name, [str(item) for item in texts]


@dataclass(frozen=True, slots=True)
class Judging:
    """How answers are scored. `log` is the folder of logs: what it has of the same answers is not scored again."""

    benchmark: Benchmark
    scoring: Scoring
    sandbox: Runs
    description: str
    log: Path
    threads: int = 2

    def header(self, answers: Answers) -> dict[str, JsonValue]:
        return {
            "answers": answers.sha256,
            "benchmark": self.benchmark.sha256,
            "scoring": self.scoring.model_dump(mode="json"),
            "extractor": extract.VERSION,
            "scorers": scorers.VERSION,
            "sandbox": self.description,
        }

    def sample(self, task: Task, answer: str, number: int, name: str) -> Sample:
        began = time.monotonic()
        judged = score(task, Answered(text=answer), self.scoring, self.sandbox)
        return Sample(
            role=Role.CANDIDATE,
            model=name,
            task=task.id,
            group=task.group,
            category=task.category,
            is_canary=task.canary,
            number=number,
            seed=0,
            prompt=task.prompt,
            answer=answer,
            finish_reason=None,
            seconds=time.monotonic() - began,
            **dict(judged),
        )


def judge(
    answers: Answers, judging: Judging, name: str, told: Callable[[Sample, int, int], None]
) -> tuple[list[Sample], Path]:
    """Every answer's sample, in the benchmark's order, and the log they are in; `told` of each as it is done."""
    header = judging.header(answers)
    key = hashlib.sha256(repr(sorted(header.items())).encode()).hexdigest()[:16]
    cells = [
        (task, number, answer)
        for task in judging.benchmark.tasks
        for number, answer in enumerate(answers.texts.get(task.id, ()))
    ]
    with SampleLog(judging.log / f"{key}.jsonl", header) as log:
        missing = [cell for cell in cells if _key(cell[0], cell[1]) not in log.done]
        with ThreadPoolExecutor(judging.threads) as threads:
            pending = [
                threads.submit(judging.sample, task, answer, number, name) for task, number, answer in missing
            ]
            try:
                for done, future in enumerate(pending, start=len(cells) - len(missing) + 1):
                    log.append(future.result())
                    told(future.result(), done, len(cells))
            finally:
                threads.shutdown(wait=True, cancel_futures=True)
        return [log.done[_key(task, number)] for task, number, _ in cells], log.path


def _key(task: Task, number: int) -> Key:
    return Key(Role.CANDIDATE, "", task.id, number)


def scorecard(
    samples: Sequence[Sample], judging: Judging, *, domain: str, name: str, duration_s: float
) -> Scorecard:
    """Figures over the tasks that were answered; nothing to compare with, so no verdict."""
    pairs = pair_up(samples)
    most = max(Counter(sample.task for sample in samples).values())
    return Scorecard(
        domain=domain,
        benchmark=judging.benchmark.sha256,
        tasks=len(judging.benchmark.tasks),
        samples=most,
        seed=0,
        temperature=0.0,
        candidate=name,
        incumbent=None,
        sandbox=judging.description,
        extractor=extract.VERSION,
        scorers=scorers.VERSION,
        overall=group_score("overall", pairs),
        groups=tuple(_by(pairs, lambda pair: pair.group)),
        categories=tuple(_by(pairs, lambda pair: pair.category)),
        pass_rates=tuple(pass_rates(samples, most)),
        outcomes=dict(Counter(sample.ended for sample in samples)),
        infra_error_share=infra_share(samples),
        lower_bound=None,
        alpha=0.05,
        detectable=None,
        verdict=Verdict.INSUFFICIENT_DATA,
        reasons=("answers made elsewhere, compared with nothing",),
        duration_s=duration_s,
    )


def _by(pairs: Sequence[Pair], name_of: Callable[[Pair], str]) -> Iterator[GroupScore]:
    for name in sorted({name_of(pair) for pair in pairs}):
        yield group_score(name, [pair for pair in pairs if name_of(pair) == name])
