"""The seed's tasks (`test_cases` of code and expected output, keyword requirements, a gold answer) as checks of ours.

What its format cannot say is not guessed: a task without tests, requirements or gold answer stays unscored.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from forge_evaluator.extract import extract, fences, strip
from forge_evaluator.syntax.fences import language_of

_SNIPPETS = ("python", "javascript")
# A requirement of more words is a sentence: no sentence of an answer repeats it, so that only a judge could tell.
_KEYWORDS = 3
_MOST_WORDS = 5_000
_NO_ID = re.compile(r"[^a-z0-9]+")


def check(values: dict[str, Any], cases: Any) -> dict[str, Any] | None:
    """The check of a line that has none of ours; None leaves the task unscored."""
    gold = str(values.get("gold_answer") or "")
    language = _language(values, gold)
    if isinstance(cases, list) and cases and language in _SNIPPETS:
        return {"kind": "snippet", "language": language, "tests": [_snippet(case) for case in cases]}
    requirements = [str(item) for item in values.get("requirements") or ()]
    if not gold or not requirements:
        return None
    if language is not None:
        return {"kind": "parsed", "language": language} if extract(gold, None, language).code else None
    return _document(requirements, gold)


def _snippet(case: Any) -> Any:
    return {key: case[key] for key in ("code", "expected") if key in case} if isinstance(case, dict) else case


def _language(values: dict[str, Any], gold: str) -> str | None:
    """What the line says, else what the gold answer's last block says."""
    named = language_of(str(values.get("language") or "").lower())
    labels = [language_of(block.language) for block in fences(strip(gold)) if block.language]
    known = [label for label in (named, *reversed(labels)) if label is not None]
    if known:
        return known[0]
    return "python" if extract(gold, None).code else None


def _document(requirements: Sequence[str], gold: str) -> dict[str, Any] | None:
    short = [text for text in requirements if len(text.split()) <= _KEYWORDS]
    if not short:
        return None
    words = len(gold.split())
    return {
        "kind": "document",
        "min_words": min(40, words // 2),
        "max_words": min(_MOST_WORDS, max(900, 3 * words)),
        "rubric": [_criterion(number, text) for number, text in enumerate(short, start=1)],
    }


def _criterion(number: int, requirement: str) -> dict[str, Any]:
    name = _NO_ID.sub("-", requirement.lower()).strip("-")[:40]
    stated = {"type": "states", "groups": [[requirement]]}
    return {
        "id": f"r{number}-{name}".strip("-"),
        "text": f"Speaks of {requirement}.",
        "points": 1,
        "check": stated,
    }
