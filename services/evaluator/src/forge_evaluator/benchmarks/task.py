"""One task of a benchmark. How it is judged is its check; without one it can be asked but not scored."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from forge_evaluator.benchmarks import seed
from forge_evaluator.benchmarks.checks import Check

_CHECK_KEYS = ("kind", "entry_point", "tests", "expected")


class Difficulty(StrEnum):
    EASY = "easy"
    MEDIUM = "medium"
    HARD = "hard"


class Task(BaseModel):
    """`category` is reported; `group` (the category by default) is what the gate decides on.

    A `canary` must not newly fail, whatever the mean says: safety, or what a domain cannot do without.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = Field(min_length=1)
    category: str = "general"
    group: str
    prompt: str = Field(min_length=1)
    requirements: tuple[str, ...] = ()
    gold_answer: str = ""
    difficulty: Difficulty | None = None
    canary: bool = False
    check: Check | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_line(cls, line: Any) -> Any:
        """Accepts the check as `check`, inside `test_cases` or beside the other keys.

        The seed's own tests (`test_cases` as a list) and requirements become checks, where they can decide anything.
        """
        if not isinstance(line, dict) or "group" in line:
            return line
        values = dict(line)
        values["group"] = values.pop("domain_group", None) or values.get("category", "general")
        values["requirements"] = tuple(str(item) for item in values.get("requirements") or ())
        values["check"] = _check(values)
        return values


def _check(values: dict[str, Any]) -> dict[str, Any] | None:
    cases = values.pop("test_cases", None)
    beside = {key: values.pop(key) for key in _CHECK_KEYS if key in values}
    given: dict[str, Any] | None = values.get("check")
    if given is not None:
        return given
    if "kind" in beside:
        return beside
    return cases if isinstance(cases, dict) else seed.check(values, cases)
