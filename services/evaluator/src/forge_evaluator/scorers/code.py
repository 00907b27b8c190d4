"""Code: extracted, run in the sandbox, compared out here, case by case. The gates come before the sum.

No code, a refusal, the task repeated: nothing counts. It does not parse: nothing counts. Nothing is worked out in it, or
what was asked for is not defined: no likeness, no completeness. No case passed: likeness a quarter at most, completeness a
third. Some cases passed, or a rule of the task broken: half of correctness at most.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from forge_common.contracts.scorecard import Outcome
from forge_evaluator.benchmarks import (
    CodeCheck,
    HarnessCheck,
    ParsedCheck,
    ShellCheck,
    SnippetCheck,
    SqlCheck,
    Task,
)
from forge_evaluator.benchmarks.manifest import language
from forge_evaluator.extract import Extraction, extract
from forge_evaluator.scorers.requirements import completeness
from forge_evaluator.scorers.score import Answered, Parts, Score, nothing
from forge_evaluator.scorers.similarity import likeness
from forge_evaluator.scorers.trials import (
    Runs,
    Trial,
    try_code,
    try_harness,
    try_shell,
    try_snippets,
    try_sql,
)
from forge_evaluator.syntax import Program, parse

__all__ = ["CODE_CHECKS", "Runs", "entry_point", "score"]

CodeLike: TypeAlias = CodeCheck | HarnessCheck | SnippetCheck | SqlCheck | ShellCheck | ParsedCheck
CODE_CHECKS = (CodeCheck, HarnessCheck, SnippetCheck, SqlCheck, ShellCheck, ParsedCheck)

_PARSES, _SIGNATURE = 0.6, 0.4  # 15 and 10 of 25
_PARTLY_CORRECT = 0.5  # 20 of 40
_UNPROVEN_SIMILARITY = 0.25  # 5 of 20
# Unrelated programs have a third of their shapes in common.
_UNLIKE = 0.5
_WORD = re.compile(r"\w+")
_UNPROVEN_COMPLETENESS = 1 / 3  # 5 of 15


def score(task: Task, check: CodeLike, answered: Answered, sandbox: Runs) -> Score:
    """Raises SandboxLost or LanguageRefused when the sandbox failed, which says nothing about the answer."""
    judged = _judge(task, check, answered, sandbox)
    # Code that is never run cannot pass; counted as failing when it does not parse, it could only lower a pass rate.
    return judged.model_copy(update={"outcome": None}) if isinstance(check, ParsedCheck) else judged


def _judge(task: Task, check: CodeLike, answered: Answered, sandbox: Runs) -> Score:
    spoken = language(check) or "python"
    entry = entry_point(task, check)
    found = extract(answered.text, entry, spoken, prompt=_completable(task, check))
    broke_off = found.is_truncated or answered.finish_reason == "length"
    if found.code is None:
        return nothing(Outcome.TRUNCATED if broke_off else Outcome.NO_CODE, "no code was found in the answer")
    program = parse(found.code, spoken)
    if _is_echo(found.code, program, task, check):
        return nothing(Outcome.NO_CODE, "the answer only repeats the task", found.code)
    # Python's own parser is right about Python; of the others the runtime has the last word.
    trial = None if program is None and spoken == "python" else _try(check, found.code, sandbox)
    if program is None and (trial is None or trial.passed == 0):
        return nothing(
            Outcome.TRUNCATED if broke_off else Outcome.ERROR, "the code does not parse", found.code
        )
    broken = tuple(_broken_rules(check, program))
    return _Judged(task, check, spoken, entry, found, program, trial, broken).score


def _completable(task: Task, check: CodeLike) -> str:
    """The prompt, where an answer may go on from it: code that is to be mended is no beginning of the answer."""
    return "" if isinstance(check, CodeCheck) and check.given else task.prompt


def entry_point(task: Task, check: CodeLike) -> str | None:
    """The name that the cases call; for the seed's tasks the one of the gold answer's that tests or prompt speak of."""
    match check:
        case CodeCheck() | HarnessCheck():
            return check.entry_point
        case SnippetCheck():
            names = [name for test in check.tests for name in _names(test.code, check.language.value)]
            gold = _gold_names(task, check.language.value)
            return next((name for name in names if name in gold), None)
        case ParsedCheck():
            asked = set(_WORD.findall(task.prompt))
            return next((name for name in _gold_names(task, check.language) if name in asked), None)
        case _:
            return None


def _gold_names(task: Task, spoken: str) -> list[str]:
    code = extract(task.gold_answer, None, spoken).code
    gold = parse(code, spoken) if code else None
    return gold.names() if gold is not None else []


def _names(code: str, spoken: str) -> Iterator[str]:
    program = parse(code, spoken)
    return (token for token in (program.tokens() if program else ()) if token.isidentifier())


def _try(check: CodeLike, code: str, sandbox: Runs) -> Trial | None:
    match check:
        case CodeCheck():
            return try_code(check, code, sandbox)
        case HarnessCheck():
            return try_harness(check, code, sandbox)
        case SnippetCheck():
            return try_snippets(check, code, sandbox)
        case SqlCheck():
            return try_sql(check, code, sandbox)
        case ShellCheck():
            return try_shell(check, code, sandbox)
        case ParsedCheck():
            return None


def _is_echo(code: str, program: Program | None, task: Task, check: CodeLike) -> bool:
    """All of it stands in the prompt, or it is the given code, whatever its comments and spacing."""
    if "".join(code.split()) in "".join(task.prompt.split()):
        return True
    if not isinstance(check, CodeCheck) or not check.given or program is None:
        return False
    given = parse(check.given, check.language.value)
    return given is not None and given.tokens() == program.tokens()


@dataclass(frozen=True, slots=True)
class _Judged:
    _task: Task
    _check: CodeLike
    _language: str
    _entry: str | None
    _found: Extraction
    _program: Program | None
    _trial: Trial | None
    _broken: tuple[str, ...]

    @property
    def score(self) -> Score:
        trial = self._trial
        return Score(
            points=None,
            outcome=self._outcome(),
            parts=self._parts(),
            code=self._found.code,
            evidence=(*self._broken, *(trial.evidence if trial else ())),
            explanation="; ".join(self._explained()),
            is_weak=trial is not None and trial.is_weak,
            cpu_s=trial.cpu_s if trial else 0.0,
        )

    @property
    def _share(self) -> float:
        """A broken rule of the task counts as one failing case."""
        if self._trial is None:
            return 0.0
        return max(0, self._trial.passed - bool(self._broken)) / self._trial.cases

    def _outcome(self) -> Outcome | None:
        if self._trial is None:
            return None
        if self._share == 1:
            return Outcome.PASSED
        if self._found.is_truncated:
            return Outcome.TRUNCATED
        return Outcome.WRONG if self._trial.share == 1 else self._trial.failure

    def _parts(self) -> Parts:
        correctness = (
            None if self._trial is None else 1.0 if self._share == 1 else min(self._share, _PARTLY_CORRECT)
        )
        if self._is_beside_the_point():
            structure = 0.0 if self._is_stub() or self._trial is None else _PARSES
            return Parts(structure=structure, correctness=correctness, similarity=0.0, completeness=0.0)
        unproven = self._trial is not None and self._trial.passed == 0
        similarity = self._likeness()
        covered = self._covered()
        if unproven:
            similarity = None if similarity is None else min(similarity, _UNPROVEN_SIMILARITY)
            covered = None if covered is None else min(covered, _UNPROVEN_COMPLETENESS)
        return Parts(
            structure=_PARSES + _SIGNATURE * self._fits(),
            correctness=correctness,
            similarity=similarity,
            completeness=covered,
        )

    def _is_beside_the_point(self) -> bool:
        """Nothing is worked out in it, or it does not define what was asked for; and the cases do not say otherwise."""
        if self._program is None or self._share == 1:
            return False
        if self._entry is not None and not self._program.defines(self._entry):
            return True
        if isinstance(self._check, SqlCheck) and self._trial is not None and not self._trial.fits:
            return True  # a query of other tables
        return self._is_stub() or (self._trial is None and self._is_unlike())

    def _is_unlike(self) -> bool:
        """Where nothing is run, a program that has neither the shape nor a requirement of the right one is another's."""
        return not self._covered() and (self._likeness() or 0.0) < _UNLIKE

    def _is_stub(self) -> bool:
        return self._program is not None and self._program.is_stub(self._entry)

    def _fits(self) -> bool:
        """The right signature; for queries and scripts, that they could be run at all."""
        if not isinstance(self._check, CodeCheck) or self._program is None:
            return self._trial is None or self._trial.fits
        arity = self._program.arity(self._check.entry_point)
        return arity is None or arity.takes([len(case.args) for case in self._check.tests])

    def _likeness(self) -> float | None:
        code = extract(self._task.gold_answer, self._entry, self._language, prompt=self._task.prompt).code
        gold = parse(code, self._language) if code else None
        return None if gold is None or self._program is None else likeness(self._program, gold, self._entry)

    def _covered(self) -> float | None:
        if self._program is None or (self._trial is None and not self._task.requirements):
            return None if self._trial is None else self._share
        return completeness(self._task.requirements, self._program.needed_by(self._entry), self._share)

    def _explained(self) -> Iterator[str]:
        if self._trial is None:
            yield "not run: parsed and compared with the gold answer only"
        else:
            yield f"{self._trial.passed} of {self._trial.cases} cases passed"
        if self._is_beside_the_point():
            yield "nothing is worked out in it" if self._is_stub() else "it is not what was asked for"
        if self._trial is None:
            return
        if self._trial.is_weak:
            yield "weak: the tests ran where the answer could reach them"
        if self._trial.detail:
            yield self._trial.detail


def _broken_rules(check: CodeLike, program: Program | None) -> Iterator[str]:
    if not isinstance(check, CodeCheck) or program is None:
        return
    yield from (f"uses {what}, which the task forbids" for what in check.forbids if program.uses(what))
    yield from (
        f"does not use {what}, which the task requires" for what in check.requires if not program.uses(what)
    )
    longest = program.longest_function()
    if check.max_function_lines is not None and longest > check.max_function_lines:
        yield f"a function of {longest} lines, where the task allows {check.max_function_lines}"
