"""Whether a judge may be trusted: its verdicts beside a person's labels, as Cohen's kappa. Below 0.6 it decides nothing."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from forge_common.errors import Invalid
from forge_evaluator.benchmarks import Criterion, DocumentCheck, Task
from forge_evaluator.scorers.judge import Judge
from forge_evaluator.settings import Settings

ENOUGH = 0.6
_REMEMBERED_S = 24 * 3600.0
_UNREADABLE = "unreadable"


class Label(BaseModel):
    """What a person decided about one answer and one criterion."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    domain: str
    prompt: str
    criterion: str
    answer: str
    met: bool


class LabelsUnusable(Invalid):
    """The file cannot be read as labels."""


class Agreement(BaseModel):
    model_config = ConfigDict(frozen=True)

    model: str
    kappa: float
    items: int
    agreed: int
    unreadable: int
    domains: dict[str, float]
    """Share of equal verdicts."""

    @property
    def is_enough(self) -> bool:
        return self.kappa >= ENOUGH


@dataclass(frozen=True, slots=True)
class Appointed:
    """The judge of an evaluation, or none; `text` says which and why, for the scorecard."""

    judge: Judge | None
    text: str


def labels(data: bytes) -> list[Label]:
    try:
        found = [Label.model_validate_json(line) for line in data.decode().split("\n") if line.strip()]
    except (ValidationError, UnicodeDecodeError) as error:
        raise LabelsUnusable(f"not a file of labels: {error}", fix="see the README on the judge") from error
    if len({label.met for label in found}) < 2:
        raise LabelsUnusable("labels of one kind only show no agreement", fix="add items of both kinds")
    return found


def shipped_labels() -> bytes:
    return (resources.files("forge_evaluator.scorers") / "judge-agreement.jsonl").read_bytes()


def measure(
    judge: Judge, items: Sequence[Label], told: Callable[[int, int], None] | None = None
) -> Agreement:
    verdicts: list[str] = []
    for done, item in enumerate(items, start=1):
        found = judge.criterion(
            item.prompt, Criterion(id="criterion", text=item.criterion, points=1), item.answer
        )
        verdicts.append(_UNREADABLE if found is None else str(found.share == 1))
        if told:
            told(done, len(items))
    truth = [str(item.met) for item in items]
    same = [ours == theirs for ours, theirs in zip(truth, verdicts, strict=True)]
    return Agreement(
        model=judge.model,
        kappa=kappa(truth, verdicts),
        items=len(items),
        agreed=sum(same),
        unreadable=verdicts.count(_UNREADABLE),
        domains=_by_domain(items, same),
    )


def kappa(ours: Sequence[str], theirs: Sequence[str]) -> float:
    """Cohen's: agreement beyond what two raters with these habits reach by chance. An unreadable verdict agrees with none."""
    count = len(ours)
    observed = sum(a == b for a, b in zip(ours, theirs, strict=True)) / count
    left, right = Counter(ours), Counter(theirs)
    chance = sum(left[name] * right[name] for name in left) / count**2
    return 1.0 if chance == 1 else (observed - chance) / (1 - chance)


def _by_domain(items: Sequence[Label], same: Sequence[bool]) -> dict[str, float]:
    counts = Counter(item.domain for item in items)
    agreed = Counter(item.domain for item, is_same in zip(items, same, strict=True) if is_same)
    return {domain: agreed[domain] / count for domain, count in counts.items()}


def appoint(settings: Settings, under_test: Sequence[str | None], tasks: Iterable[Task]) -> Appointed:
    """The configured judge, if it is needed, is not itself judged and agrees with the shipped labels.

    Raises JudgeDown, JudgeRefused.
    """
    if not settings.judge_url or not settings.judge_model:
        return Appointed(None, "none")
    if not any(_needs_one(task) for task in tasks):
        return Appointed(None, "none: no criterion needs one")
    name = settings.judge_model
    if _family(name) in {_family(model) for model in under_test if model}:
        return Appointed(None, f"none: {name} is under test and cannot judge itself")
    judge = make(settings)
    found = _remembered(judge, settings.work / "judge")
    figures = f"kappa {found.kappa:.2f} on {found.items} labelled items"
    if found.is_enough:
        return Appointed(judge, f"{name}, {figures}")
    with judge:
        return Appointed(None, f"none: {name} is excluded, {figures}, {ENOUGH} is needed")


def _needs_one(task: Task) -> bool:
    return isinstance(task.check, DocumentCheck) and any(c.check is None for c in task.check.rubric)


def make(settings: Settings) -> Judge:
    key = settings.judge_key.get_secret_value() if settings.judge_key else ""
    return Judge(
        settings.judge_url or "", settings.judge_model or "", key, timeout_s=settings.answer_timeout_s
    )


def _family(model: str) -> str:
    """A tag like `:latest` may stand for any version of the same model."""
    return model.split(":", maxsplit=1)[0].casefold()


def _remembered(judge: Judge, folder: Path) -> Agreement:
    """Measured once a day: the model behind a name may change."""
    data = shipped_labels()
    named = json.dumps([judge.url, judge.model, hashlib.sha256(data).hexdigest()])
    path = folder / f"{hashlib.sha256(named.encode()).hexdigest()[:32]}.json"
    if path.is_file() and time.time() - path.stat().st_mtime < _REMEMBERED_S:
        try:
            return Agreement.model_validate_json(path.read_bytes())
        except ValidationError:
            path.unlink()
    found = measure(judge, labels(data))
    folder.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".new")
    aside.write_text(found.model_dump_json(), encoding="utf-8")
    aside.replace(path)
    return found
