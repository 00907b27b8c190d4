"""The page's answers: task by task, both models side by side, flipped ones first, with filters that need no script."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from forge_common.contracts.scorecard import Outcome, Scorecard
from forge_evaluator import report
from forge_evaluator.gate import Pair
from forge_evaluator.samples import Role, Sample

_MAX_SHOWN = 20_000
_SHARES = "In a line: the share of answers that passed, or points of 100 where a task has no pass mark."
_FLAGS = {-1: ("lost", "bad"), 1: ("gained", "good"), 0: ("same", "dim")}


@dataclass(frozen=True, slots=True)
class Shown:
    """One task of the page."""

    pair: Pair
    samples: tuple[Sample, ...]

    @property
    def suite(self) -> str:
        return self.samples[0].suite

    @property
    def category(self) -> str:
        return f"domain {self.suite}" if self.suite else self.pair.category

    @property
    def change(self) -> int:
        return report.change(self.pair)

    @property
    def is_unscored(self) -> bool:
        return self.pair.candidate is None


def by_task(samples: Sequence[Sample]) -> list[Shown]:
    """Lost ones first, then gained ones, then the rest; each by how much."""
    tasks: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    for sample in samples:
        tasks[sample.suite, sample.task].append(sample)
    shown = [Shown(report.pair_up(found)[0], tuple(found)) for found in tasks.values()]
    order = {-1: 0, 1: 1, 0: 2}
    return sorted(
        shown, key=lambda one: (order[one.change], bool(one.suite), -abs(one.pair.difference or 0.0))
    )


def filter_rules(tasks: Sequence[Shown]) -> str:
    """Numbers, not names: nothing that a benchmark says gets into the style sheet."""
    rules = [
        f"body:has(#{name}:checked) .task:not(.{name})" for name in ("lost", "gained", "same", "unscored")
    ]
    rules += [
        f"body:has(#c{number}:checked) .task:not(.c{number})" for number in range(len(_categories(tasks)))
    ]
    return ",".join(rules) + "{display:none}"


def section(card: Scorecard, tasks: Sequence[Shown]) -> str:
    categories = {name: number for number, name in enumerate(_categories(tasks))}
    listed = "".join(_task(one, categories[one.category]) for one in tasks)
    sides = (
        f"{card.incumbent} on the left, {card.candidate} on the right" if card.incumbent else card.candidate
    )
    return (
        f"<h2>Task by task</h2><p class=dim>{escape(sides)}. {_SHARES}</p>"
        f"{_by_change(tasks)}{_by_category(tasks, categories)}{listed}"
    )


def _categories(tasks: Sequence[Shown]) -> list[str]:
    return sorted({one.category for one in tasks})


def _by_change(tasks: Sequence[Shown]) -> str:
    counts = {
        name: sum(_FLAGS[one.change][0] == name for one in tasks) for name in ("lost", "gained", "same")
    }
    choices = [("all", f"all {len(tasks)}"), *((name, f"{name} {count}") for name, count in counts.items())]
    unscored = sum(one.is_unscored for one in tasks)
    choices += [("unscored", f"unscored {unscored}")] if unscored else []
    return _choice("change", choices)


def _by_category(tasks: Sequence[Shown], categories: dict[str, int]) -> str:
    counts: dict[str, int] = defaultdict(int)
    for one in tasks:
        counts[one.category] += 1
    choices = [(f"c{number}", f"{name} {counts[name]}") for name, number in categories.items()]
    return _choice("category", [("every", "every category"), *choices])


def _choice(name: str, choices: Sequence[tuple[str, str]]) -> str:
    buttons = "".join(
        f"<input type=radio name={name} id={key}{' checked' if number == 0 else ''}>"
        f"<label for={key}><span>{escape(text)}</span></label>"
        for number, (key, text) in enumerate(choices)
    )
    return f"<fieldset>{buttons}</fieldset>"


def _task(one: Shown, category: int) -> str:
    flag, style = _FLAGS[one.change]
    classes = f"task c{category} {flag}" + (" unscored" if one.is_unscored else "")
    first = one.samples[0]
    canary = " <span class=mid>canary</span>" if one.pair.is_canary else ""
    sides = "".join(_side(one, role) for role in (Role.INCUMBENT, Role.CANDIDATE))
    return (
        f"<details class='{classes}'><summary><span class='flag {style}'>{flag}</span>"
        f"<span class=id>{escape(first.task)}{canary}</span><span class=share>{_shares(one.pair)}</span>"
        f"<span class=ask>{escape(first.prompt[:200])}</span></summary>"
        f"<small>{escape(one.category)}</small><pre>{escape(first.prompt)}</pre><div class=both>{sides}</div></details>"
    )


def _shares(pair: Pair) -> str:
    """`25 → 100` and the like: what both made of it."""
    ours, theirs = (
        _share(passes, points)
        for passes, points in (
            (pair.candidate_passes, pair.candidate),
            (pair.incumbent_passes, pair.incumbent),
        )
    )
    return f"{theirs} → {ours}" if theirs else ours


def _share(passes: float | None, points: float | None) -> str:
    if passes is not None:
        return f"{passes:.0%}"
    return "" if points is None else f"{points:.0f}"


def _side(one: Shown, role: Role) -> str:
    samples = [sample for sample in one.samples if sample.role is role]
    return f"<div>{''.join(_answers(samples))}</div>" if samples else ""


def _answers(samples: Sequence[Sample]) -> Iterator[str]:
    """The same answer, judged alike, is shown once, with all its seeds."""
    alike: dict[tuple[str, Outcome | None, float | None], list[Sample]] = defaultdict(list)
    for sample in samples:
        alike[sample.answer, sample.outcome, sample.points].append(sample)
    for found in alike.values():
        yield _answer(found)


def _answer(alike: Sequence[Sample]) -> str:
    sample = alike[0]
    style = {True: "good", False: "bad", None: "dim"}[sample.passed]
    points = "unscored" if sample.points is None else f"{sample.points:.0f} points"
    outcome = str(sample.outcome).replace("_", " ") if sample.outcome else ""
    times = f" × {len(alike)}" if len(alike) > 1 else ""
    seeds = ", ".join(str(one.seed) for one in alike)
    notes = "<br>".join(escape(line) for line in (sample.explanation, *sample.evidence) if line)
    return (
        f"<div class=answer><b class={style}>{escape(outcome)}</b> {points}{times} "
        f"<small>{escape(sample.model)}, seed {seeds}</small><pre>{escape(_cut(sample.answer)) or '<i>nothing</i>'}</pre>"
        f"<small>{notes}</small></div>"
    )


def _cut(text: str) -> str:
    if len(text) <= _MAX_SHOWN:
        return text
    return f"{text[:_MAX_SHOWN]}\n… {len(text) - _MAX_SHOWN} more characters are in the log"
