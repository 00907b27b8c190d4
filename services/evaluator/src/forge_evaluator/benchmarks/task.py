"""One task of a benchmark. How it is judged is its check; without one it can be asked but not scored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

_CHECK_KEYS = ("kind", "entry_point", "tests", "expected")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Case(_Strict):
    """One call. Tuples, sets and other values that JSON lacks are tagged: `{"$tuple": [1, 2]}`."""

    args: tuple[JsonValue, ...]
    expected: JsonValue


class CodeCheck(_Strict):
    """The answer's code defines `entry_point`; every case calls it."""

    kind: Literal["code"] = "code"
    entry_point: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    tests: tuple[Case, ...] = Field(min_length=1)


class ExactCheck(_Strict):
    """The answer is `expected`, but for spacing and surrounding quotes."""

    kind: Literal["exact"] = "exact"
    expected: str = Field(min_length=1)


class Task(_Strict):
    """`category` is reported; `group` (the category by default) is what the gate decides on."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = Field(min_length=1)
    category: str = "general"
    group: str
    prompt: str = Field(min_length=1)
    requirements: tuple[str, ...] = ()
    gold_answer: str = ""
    check: Annotated[CodeCheck | ExactCheck, Field(discriminator="kind")] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_line(cls, line: Any) -> Any:
        """Accepts the check inside `test_cases` or beside the other keys; the seed's snippet tests are kept unscored."""
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
    if "kind" in beside:
        return beside
    return cases if isinstance(cases, dict) else None
