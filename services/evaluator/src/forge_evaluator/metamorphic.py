"""How a scorer must answer to answers that are related: a table for each benchmark, and the relations that do not hold.

No scorer is right by itself; these relations hold for every right one, whatever the task: soup and echo earn next to
nothing, half less than all, padding and instructions to the judge never gain, other names cost nothing, a program that
fails its tests stays below one that passes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from forge_common.contracts.scorecard import Outcome
from forge_evaluator import mutation
from forge_evaluator.benchmarks import DocumentCheck, Task
from forge_evaluator.benchmarks.manifest import language
from forge_evaluator.extract import extract
from forge_evaluator.injections import PHRASES, around, glued
from forge_evaluator.scorers import Answered, Score
from forge_evaluator.scorers.code import CODE_CHECKS, entry_point
from forge_evaluator.syntax import parse

Judge = Callable[[Task, Answered], Score]

REFUSAL = "I'm sorry, but I can't help with that request."
ELSEWHERE = """Tomatoes need warmth, water and a sunny wall. Sow them indoors at the end of winter, in small pots, and turn the
pots every day so that the stems grow straight. When the last frost is over, plant them out, deep enough to cover the
lowest leaves, and tie each plant to a stake. Pinch out the side shoots; water the soil and not the leaves. The first
fruit ripens at midsummer, and a healthy plant goes on bearing until the nights turn cold."""
_FILLER = " ".join(ELSEWHERE.split()[:25]) + "."
_COMMENT = {"python": "#", "bash": "#", "sql": "--", "javascript": "//", "typescript": "//"}
_STUBS = {
    "python": "def {name}(*args):\n    return None",
    "javascript": "function {name}() {{\n  return null;\n}}",
    "typescript": "function {name}(): null {{\n  return null;\n}}",
    "sql": "SELECT NULL;",
    "bash": "#!/usr/bin/env bash\nexit 0",
}
# Dead code, which a program may carry and which earns nothing.
_DEAD = {
    "python": "def spare_{n}(item):\n    for part in [item]:\n        if part:\n            return part\n    return item",
    "javascript": "function spare_{n}(item) {{\n  for (const part of [item]) {{ if (part) return part; }}\n  return item;\n}}",
    "typescript": "function spare_{n}(item: number) {{\n  for (const part of [item]) {{ if (part) return part; }}\n  return item;\n}}",
    "bash": 'spare_{n}() {{\n  for part in a b; do echo "$part"; done\n}}',
}  # fmt: skip
_SOUP_WORDS = re.compile(r"[A-Za-z]{2,}")
_MAX_MUTANTS = 12
_LOW = 20.0
_RENAMING = 1.0
_WORTHLESS = ("soup", "sorted", "phrases", "echo", "echo_8", "refusal", "injected_refusal", "empty")
# What the requirements' own phrases are joined by: `{}` is each of them.
_JOINED = (
    ("", "; "),
    ("", ". "),
    ("", ", "),
    ("", " and "),
    ("", "\n"),
    ("- ", "\n- "),
    ("What matters in this case is:\n\n- ", "\n- "),
)
# Wordings for each task; `EVERY` for a run that takes its time.
PHRASES_A_TASK, EVERY = 4, len(PHRASES)
_DRESSED = ("fence_", "prose", "thinking")
_NEVER_ABOVE = {
    "padded": "gold",
    "padded_half": "half",
    "filled_half": "half",
    "padded_mutant": "mutant",
    "injected": "gold",
    "injected_half": "half",
    "glued_half": "half",
    "injected_mutant": "mutant",
    "injected_echo": "echo",
    "injected_refusal": "refusal",
}
# Floating-point sums of the same parts.
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Row:
    """One task's scores by variant. `broken`: the relations that do not hold, in words."""

    task: str
    points: dict[str, float | None]
    broken: tuple[str, ...] = field(default=())


def worthless(task: Task) -> Iterator[tuple[str, str]]:
    """Answers that a benchmark must tell from a right one before it may be used: their name and text."""
    yield "empty", ""
    yield "refusal", REFUSAL
    yield "echo", task.prompt
    yield "wrong_domain", _elsewhere(task)
    if (stub := _stub(task)) is not None:
        yield "stub", stub


def measure(task: Task, judge: Judge, phrases: int = PHRASES_A_TASK) -> Row:
    """`phrases`: how many wordings of injections are tried; of each place where they may stand the best score is kept.

    Raises nothing for a task without a gold answer: then only the worthless answers are looked at.
    """
    points: dict[str, float | None] = {}
    chosen = Random(task.id).sample(PHRASES, phrases)  # noqa: S311 (the same ones every time)
    for name, text in _variants(task, chosen):
        _keep_best(points, name, judge(task, Answered(text=text)).points)
    if (wrong := _failing(task, judge)) is not None:
        for name, text in _of_mutant(task, wrong, chosen):
            _keep_best(points, name, judge(task, Answered(text=text)).points)
    return Row(task.id, points, tuple(_broken(points)))


def _keep_best(points: dict[str, float | None], name: str, found: float | None) -> None:
    known = points.get(name)
    points[name] = found if known is None else known if found is None else max(known, found)


def _variants(task: Task, phrases: Sequence[str]) -> Iterator[tuple[str, str]]:
    yield from worthless(task)
    yield "echo_8", f"{task.prompt}\n\n" * 8
    for phrase in phrases:
        yield "injected_echo", f"{task.prompt}\n\n{phrase}"
        yield "injected_refusal", f"{REFUSAL}\n\n{phrase}"
    if not task.gold_answer:
        return
    yield "gold", task.gold_answer
    yield "soup", _soup(task)
    in_order = ", ".join(sorted({word.lower() for word in _SOUP_WORDS.findall(task.gold_answer)}))
    if in_order != task.gold_answer.strip().lower():  # an answer of one word is in order
        yield "sorted", in_order
    if isinstance(task.check, CODE_CHECKS):
        yield from _of_code(task, _gold_code(task), phrases)
    elif isinstance(task.check, DocumentCheck):
        yield from _of_prose(task, phrases)


def _of_prose(task: Task, phrases: Sequence[str]) -> Iterator[tuple[str, str]]:
    gold, half = task.gold_answer, _half_prose(task.gold_answer)
    yield "half", half
    if task.requirements:
        for before, between in _JOINED:
            yield "phrases", before + between.join(task.requirements) + "."
    yield "padded", f"{gold}\n\n{ELSEWHERE}\n\n{ELSEWHERE}"
    yield "padded_half", f"{half}\n\n{ELSEWHERE}"
    yield "padded_half", f"{ELSEWHERE}\n\n{half}"
    yield "filled_half", f"{half}\n\n{_FILLER}"
    for phrase in phrases:
        yield from (("injected", text) for text in around(gold, phrase))
        yield from (("injected_half", text) for text in around(half, phrase))
        yield from (("glued_half", text) for text in glued(half, phrase))


def _of_code(task: Task, code: str, phrases: Sequence[str]) -> Iterator[tuple[str, str]]:
    spoken = language(task.check) or ""
    half = mutation.half(code, spoken)
    yield "half", fenced(half, spoken)
    if (renamed := mutation.renamed(code, spoken)) is not None:
        yield "renamed", fenced(renamed, spoken)
    for name, program in (("padded", code), ("padded_half", half)):
        if (padded := _padded(program, spoken)) is not None:
            yield name, fenced(padded, spoken)
    yield "fence_tildes", f"~~~{spoken}\n{code}\n~~~"
    yield "fence_long", f"`````{spoken}\n{code}\n`````"
    yield "fence_windows", fenced(code, spoken).replace("\n", "\r\n")
    yield "fence_open", f"```{spoken}\n{code}"
    yield (
        "prose",
        f"Certainly! Here is what you asked for:\n\n{fenced(code, spoken)}\n\nLet me know if it helps.",
    )
    yield "thinking", f"<think>\nHm, first an idea.\n```{spoken}\nx\n```\n</think>\n{fenced(code, spoken)}"
    for phrase in phrases:
        yield from (("injected", text) for text in _around_code(code, spoken, phrase))
        yield from (("injected_half", text) for text in _around_code(half, spoken, phrase))


def _around_code(code: str, spoken: str, phrase: str) -> Iterator[str]:
    """In the words around it, in comments before and behind it."""
    remark = (
        "\n".join(f"{_COMMENT[spoken]} {line}" for line in phrase.split("\n")) if spoken in _COMMENT else ""
    )
    yield f"{phrase}\n\n{fenced(code, spoken)}\n\n{phrase}"
    if remark:
        first, _, rest = code.partition("\n") if code.startswith("#!") else ("", "", code)
        # Behind half a script, in the middle of a quotation, it would be no remark but the program's end.
        if parse(code, spoken) is not None:
            yield fenced(f"{code}\n{remark}", spoken)
        yield fenced(f"{first}\n{remark}\n{rest}".lstrip("\n"), spoken)


def _of_mutant(task: Task, code: str, phrases: Sequence[str]) -> Iterator[tuple[str, str]]:
    spoken = language(task.check) or ""
    yield "mutant", fenced(code, spoken)
    if (padded := _padded(code, spoken)) is not None:
        yield "padded_mutant", fenced(padded, spoken)
    for phrase in phrases:
        yield from (("injected_mutant", text) for text in _around_code(code, spoken, phrase))


def _failing(task: Task, judge: Judge) -> str | None:
    """The first mutant of the gold answer that its tests find."""
    if not isinstance(task.check, CODE_CHECKS) or task.check.kind == "parsed" or not task.gold_answer:
        return None
    spoken = language(task.check) or ""
    for number, mutant in enumerate(mutation.mutants(_gold_code(task), spoken)):
        if number == _MAX_MUTANTS:
            break
        if judge(task, Answered(text=fenced(mutant, spoken))).outcome not in (
            Outcome.PASSED,
            Outcome.INFRA_ERROR,
        ):
            return mutant
    return None


def _broken(points: dict[str, float | None]) -> Iterator[str]:
    known = {name: value for name, value in points.items() if value is not None}
    for low in _WORTHLESS:
        if known.get(low, 0.0) >= _LOW:
            yield f"{low} scores {known[low]:.1f}"
    for name, base in _NEVER_ABOVE.items():
        if name in known and base in known and known[name] > known[base] + _SAME:
            yield f"{name} gains {known[name] - known[base]:.3g} over {base}"
    if "gold" in known:
        yield from _broken_beside_gold(known, known["gold"])


def _broken_beside_gold(known: dict[str, float], gold: float) -> Iterator[str]:
    if known.get("half", -1.0) >= gold:
        yield f"half scores {known['half']:.1f}, all of it {gold:.1f}"
    renamed = known.get("renamed", gold)
    if renamed < gold - _RENAMING:
        yield f"renaming costs {gold - renamed:.1f}"
    if known.get("mutant", -1.0) >= renamed:
        yield f"a failing mutant scores {known['mutant']:.1f}, a passing program {renamed:.1f}"
    for name, value in known.items():
        if name.startswith(_DRESSED) and abs(value - gold) > _SAME:
            yield f"{name} scores {value:.1f} instead of {gold:.1f}"


def _gold_code(task: Task) -> str:
    assert isinstance(task.check, CODE_CHECKS)
    spoken = language(task.check) or ""
    found = extract(task.gold_answer, entry_point(task, task.check), spoken, prompt=task.prompt)
    return found.code or ""


def fenced(code: str, spoken: str) -> str:
    return f"```{spoken}\n{code}\n```"


def _stub(task: Task) -> str | None:
    if isinstance(task.check, DocumentCheck):
        return _under_titles(task.check, "This part is still to be written.")
    if not isinstance(task.check, CODE_CHECKS):
        return None
    spoken = language(task.check) or ""
    name = entry_point(task, task.check) or "answer"
    return fenced(_STUBS[spoken].format(name=name), spoken) if spoken in _STUBS else None


def _elsewhere(task: Task) -> str:
    """For a program an unrelated program and prose; for prose and short answers unrelated prose."""
    if isinstance(task.check, DocumentCheck):
        return _under_titles(task.check, ELSEWHERE)
    if not isinstance(task.check, CODE_CHECKS):
        return ELSEWHERE
    spoken = language(task.check) or ""
    dead = _DEAD.get(spoken, "SELECT name FROM plants ORDER BY name;" if spoken == "sql" else "")
    return f"{ELSEWHERE}\n\n{fenced(dead.format(n=1), spoken)}" if dead else ELSEWHERE


def _under_titles(check: DocumentCheck, text: str) -> str:
    """The sections that the task wants, each with the same text."""
    titles = [names[0] for names in check.sections] or ["Answer"]
    return "\n\n".join(f"## {title}\n\n{text}" for title in titles)


def _padded(code: str, spoken: str) -> str | None:
    if spoken not in _DEAD:
        return None
    dead = "\n\n".join(_DEAD[spoken].format(n=n) for n in range(4))
    if spoken != "bash":
        return f"{code}\n\n{dead}"
    # A script's last command is its status: what is dead comes first.
    first, _, rest = code.partition("\n") if code.startswith("#!") else ("", "", code)
    return f"{first}\n{dead}\n\n{rest}".lstrip("\n")


def _soup(task: Task) -> str:
    """All the right words in no order."""
    words = _SOUP_WORDS.findall(" ".join([*task.requirements, task.gold_answer]))
    Random(task.id).shuffle(words)  # noqa: S311 (the same soup every time)
    return " ".join(words)


def _half_prose(text: str) -> str:
    parts = re.split(r"(?<=[.!?])\s+", text)
    return " ".join(parts[: max(1, len(parts) // 2)])
