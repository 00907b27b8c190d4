"""How an answer is judged, as data. A check says what is right; the scorers decide whether an answer is."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from forge_evaluator.sandbox.model import Language

_NAME = r"^[A-Za-z_$][A-Za-z0-9_$]*$"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Case(_Strict):
    """One call. Tuples, sets and other values that JSON lacks are tagged: `{"$tuple": [1, 2]}`.

    Hidden cases count like the others and are never shown to a model, in practice neither.
    """

    args: tuple[JsonValue, ...]
    expected: JsonValue
    hidden: bool = False


class CodeCheck(_Strict):
    """The answer's code defines `entry_point`; every case calls it.

    `given` is the code that a debugging or refactoring task starts from: an answer that only repeats it has no structure
    of its own. `forbids` and `requires` name syntax: `call:eval`, `import:re`, or a node type of the language's grammar
    (`while_statement`); an answer that breaks one counts as failing a case.
    """

    kind: Literal["code"] = "code"
    language: Language = Language.PYTHON
    entry_point: str = Field(pattern=_NAME)
    tests: tuple[Case, ...] = Field(min_length=1)
    given: str = ""
    forbids: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    max_function_lines: int | None = Field(default=None, ge=1)


class HarnessCheck(_Strict):
    """Python tests that are code, as HumanEval's and MBPP's are. They run in a sandbox of their own and call the candidate.

    `tests` is a module: either it defines `check(candidate)`, or its top level asserts on `entry_point`. `preamble` is put
    before the answer's code (imports, helper functions that the prompt defines).
    """

    kind: Literal["harness"] = "harness"
    entry_point: str = Field(pattern=_NAME)
    tests: str = Field(min_length=1)
    preamble: str = ""


class Snippet(_Strict):
    """The seed's test: code that prints, and all that it should print."""

    code: str = Field(min_length=1)
    expected: str


class SnippetCheck(_Strict):
    """The seed's `test_cases`. Each runs after the answer's code, beside it: its verdict is weak, though nothing in there
    is told what is expected.
    """

    kind: Literal["snippet"] = "snippet"
    language: Literal[Language.PYTHON, Language.JAVASCRIPT] = Language.PYTHON
    tests: tuple[Snippet, ...] = Field(min_length=1)


class ParsedCheck(_Strict):
    """Code that is not run: only parsed and compared with the gold answer. Says nothing about correctness.

    What the seed's tasks without tests get, and languages that have no sandbox.
    """

    kind: Literal["parsed"] = "parsed"
    language: str = "python"


class SqlCase(_Strict):
    """`data` fills the tables; the rows of the answer's last query (or of `probe`, asked after it) are compared."""

    data: str = ""
    expected: tuple[tuple[JsonValue, ...], ...]
    ordered: bool = False
    probe: str | None = None
    hidden: bool = False


class SqlCheck(_Strict):
    """`setup` creates the tables. SQLite's dialect; each case has a database of its own."""

    kind: Literal["sql"] = "sql"
    setup: str = Field(min_length=1)
    tests: tuple[SqlCase, ...] = Field(min_length=1)


class ShellCase(_Strict):
    """The answer is saved as a script and run by bash in an empty folder that holds `files`. None: not compared."""

    args: tuple[str, ...] = ()
    stdin: str = ""
    files: dict[str, str] = Field(default_factory=dict)
    stdout: str | None = None
    expected_files: dict[str, str | None] = Field(default_factory=dict)
    """Contents afterwards, by path; None: must not be there."""
    exit_status: int | None = 0
    hidden: bool = False

    @model_validator(mode="after")
    def _compares_something(self) -> ShellCase:
        if self.stdout is None and not self.expected_files and self.exit_status in (None, 0):
            raise ValueError("a shell case compares stdout, a file or an exit status other than 0")
        return self


class ShellCheck(_Strict):
    """Standard output is compared without spaces at the ends of lines and without empty lines at the end."""

    kind: Literal["shell"] = "shell"
    tests: tuple[ShellCase, ...] = Field(min_length=1)


class ExactCheck(_Strict):
    """The answer is `expected`, or one of `also`, but for spacing and surrounding quotes."""

    kind: Literal["exact"] = "exact"
    expected: str = Field(min_length=1)
    also: tuple[str, ...] = ()


class ChoiceCheck(_Strict):
    """Multiple choice: the letter (A is the first option) that the answer settles on."""

    kind: Literal["choice"] = "choice"
    options: tuple[str, ...] = Field(min_length=2, max_length=26)
    answer: str = Field(pattern=r"^[A-Z]$")


class NumberCheck(_Strict):
    """A final number, as GSM8K's: after `####`, else the answer's last one. `tolerance` is relative."""

    kind: Literal["number"] = "number"
    value: float
    tolerance: float = Field(default=1e-6, ge=0)


Terms: TypeAlias = tuple[str, ...]
"""Alternatives: words or phrases, compared without case and punctuation; `terminat*` fits any ending."""


class StatesCheck(_Strict):
    """One sentence of prose (or, within a `passage`, two neighbouring ones) has a term of every group.

    `negated`: whether the statement is a denial ("need not be in writing"). A sentence that denies what should be
    affirmed, or the reverse, does not count; nor does one that stands in the prompt, nor fewer than five words.
    """

    type: Literal["states"] = "states"
    groups: tuple[Terms, ...] = Field(min_length=1)
    within: Literal["sentence", "passage"] = "sentence"
    negated: bool = False


class FigureCheck(_Strict):
    """A number with its unit and scale: 12.5 %, USD 1.2 million (= 1,200,000), 500 mg. `tolerance` is relative.

    `near`: at least one of these terms stands in the same sentence or table row.
    """

    type: Literal["number"] = "number"
    value: float
    unit: str = ""
    tolerance: float = Field(default=0.005, ge=0)
    near: Terms = ()


class DateCheck(_Strict):
    """A calendar date in any usual form: 2026-03-01, March 1, 2026, 1 March 2026. Numeric day-month orders are not guessed."""

    type: Literal["date"] = "date"
    value: dt.date
    near: Terms = ()


class CitationCheck(_Strict):
    """One of several forms of a citation; case, spaces, `§` and `sec.`, dots and dashes do not matter."""

    type: Literal["citation"] = "citation"
    forms: tuple[str, ...] = Field(min_length=1)


class LabelCheck(_Strict):
    """A label out of a closed set: on the line that begins with `cue` (`Answer: …`), else the only option asserted anywhere."""

    type: Literal["label"] = "label"
    value: str
    options: tuple[str, ...] = Field(min_length=2)
    cue: str = "Answer"

    @model_validator(mode="after")
    def _is_an_option(self) -> LabelCheck:
        if self.value not in self.options:
            raise ValueError(f"the label {self.value!r} is none of its options")
        return self


TypedCheck = Annotated[
    StatesCheck | FigureCheck | DateCheck | CitationCheck | LabelCheck, Field(discriminator="type")
]


class Criterion(_Strict):
    """One line of a rubric. `points` below zero: what a good answer does not do.

    `check=None`: only a judge can decide it; without one it is left out, and the report says so.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    text: str = Field(min_length=1)
    points: float = Field(ge=-100, le=100)
    check: TypedCheck | None = None

    @model_validator(mode="after")
    def _counts(self) -> Criterion:
        if self.points == 0:
            raise ValueError("a criterion of 0 points decides nothing")
        return self


class DocumentCheck(_Strict):
    """Prose: required sections (each a set of alternative headings), length in words, and a weighted rubric."""

    kind: Literal["document"] = "document"
    sections: tuple[Terms, ...] = ()
    min_words: int = Field(default=40, ge=0)
    max_words: int = Field(default=900, ge=1)
    rubric: tuple[Criterion, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _can_be_met(self) -> DocumentCheck:
        if not any(criterion.points > 0 for criterion in self.rubric):
            raise ValueError("a rubric needs a criterion with positive points")
        if len({criterion.id for criterion in self.rubric}) < len(self.rubric):
            raise ValueError("two criteria have the same id")
        return self


Check = Annotated[
    CodeCheck
    | HarnessCheck
    | SnippetCheck
    | ParsedCheck
    | SqlCheck
    | ShellCheck
    | ExactCheck
    | ChoiceCheck
    | NumberCheck
    | DocumentCheck,
    Field(discriminator="kind"),
]
