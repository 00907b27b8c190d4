"""Multiple choice in its usual shapes (MMLU, MMLU-Pro, ARC, OpenBookQA, HellaSwag, MedQA, CommonsenseQA, Winogrande, PIQA).

The answer is a label, an index from 0 or the option's own text. An answer that can be read in two ways is refused, not guessed.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

from pydantic import JsonValue

from forge_evaluator.benchmarks import ChoiceCheck, Task
from forge_evaluator.imports.records import Fields, Unreadable, label, text

_ASK = "Answer with the letter of the right option."
_LETTERS = string.ascii_uppercase
_QUESTIONS = ("question", "question_stem", "stem", "ctx", "sentence", "goal", "input", "prompt")
_LISTS = ("choices", "options", "endings")
# Options as fields of their own, and what the answer calls them where that is not the field's name.
_COLUMNS = (("A", "B"), ("a", "b"), ("option1", "option2"), ("sol1", "sol2"), ("opa", "opb"))
_ANSWERS = ("answer_index", "answer_idx", "answerKey", "answer", "label", "correct", "gold", "target")


@dataclass(frozen=True, slots=True)
class _Options:
    texts: tuple[str, ...]
    labels: tuple[str, ...] = ()


def task(fields: Fields, line: int) -> Task:
    flat = _flattened(fields)
    question, options = text(flat, *_QUESTIONS).strip(), _options(flat)
    if not 2 <= len(options.texts) <= len(_LETTERS):
        raise Unreadable(f"{len(options.texts)} options, where 2 to {len(_LETTERS)} can be asked")
    if len(set(options.texts)) < len(options.texts):
        raise Unreadable("two options are the same")
    letter = _LETTERS[_right(flat, options)]
    shown = "\n".join(f"{_LETTERS[i]}) {option}" for i, option in enumerate(options.texts))
    category = label(flat, "subject", "category", "topic") or "choice"
    return Task(
        id=label(flat, "id", "question_id", "task_id") or f"choice/{line}",
        category=category,
        group="choice",
        prompt=f"{question}\n\n{shown}\n\n{_ASK}",
        gold_answer=letter,
        check=ChoiceCheck(options=options.texts, answer=letter),
    )


def _flattened(fields: Fields) -> Fields:
    """ARC's and CommonsenseQA's first releases keep stem and choices inside `question`."""
    inner = fields.get("question")
    return {**fields, "question": None, **inner} if isinstance(inner, dict) else fields


def _options(fields: Fields) -> _Options:
    for name in _LISTS:
        if name in fields:
            return _listed(fields[name], name)
    for names in _COLUMNS:
        if all(name in fields for name in names):
            return _columns(fields, names[0])
    raise Unreadable(f"no {', '.join(_LISTS)} and no options in fields of their own")


def _listed(value: JsonValue, name: str) -> _Options:
    if isinstance(value, dict):
        if isinstance(value.get("text"), list) and isinstance(value.get("label"), list):
            return _labelled(_strings(value["text"], name), _strings(value["label"], name))
        return _labelled(_strings(list(value.values()), name), tuple(value))
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        pairs = [(item.get("text"), item.get("label")) for item in value if isinstance(item, dict)]
        return _labelled(
            _strings([option for option, _ in pairs], name), _strings([key for _, key in pairs], name)
        )
    return _Options(_strings(value, name))


def _labelled(texts: tuple[str, ...], labels: tuple[str, ...]) -> _Options:
    if len(texts) != len(labels) or len(set(labels)) < len(labels):
        raise Unreadable("the options' labels do not fit them")
    return _Options(texts, labels)


def _columns(fields: Fields, first: str) -> _Options:
    """`A`, `B`, … as long as they go on. Those with a number at the end are called by it."""
    kept, last = first[:-1], first[-1]
    names = []
    while f"{kept}{last}" in fields:
        names.append(f"{kept}{last}")
        last = chr(ord(last) + 1)
    labels = {"sol": ("0", "1"), "op": ()}.get(kept, tuple(name.removeprefix("option") for name in names))
    return _Options(_strings([fields[name] for name in names], first), labels)


def _strings(value: JsonValue, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, (str, int, float)) for item in value):
        raise Unreadable(f"{name} is not a list of texts")
    texts = tuple(str(item).strip() for item in value)
    if not all(texts):
        raise Unreadable(f"{name} has an empty option")
    return texts


def _right(fields: Fields, options: _Options) -> int:
    """The number of the right option. Raises Unreadable when nothing, or more than one thing, can be meant."""
    name = next((name for name in _ANSWERS if fields.get(name) not in (None, "")), None)
    if name is None:
        raise Unreadable(f"no {', '.join(_ANSWERS)}")
    value = fields[name]
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise Unreadable(f"{name} is neither a text nor a whole number")
    readings = _readings(value, options)
    if len(readings) > 1:
        raise Unreadable(f"{name} {value!r} is both an option's letter and another option's text")
    if not readings:
        raise Unreadable(f"{name} {value!r} is none of the {len(options.texts)} options")
    return readings.pop()


def _readings(value: str | int, options: _Options) -> set[int]:
    key = str(value).strip()
    if options.labels:
        found = {i for i, name in enumerate(options.labels) if name.casefold() == key.casefold()}
        if found or isinstance(value, int):
            return found or _index(key, options)
        return {i for i, option in enumerate(options.texts) if option == key}
    if isinstance(value, int):
        return _index(key, options)
    spoken = {i for i, option in enumerate(options.texts) if option == key}
    letter = {_LETTERS.index(key.upper())} if len(key) == 1 and key.upper() in _LETTERS else set()
    return spoken | {i for i in letter if i < len(options.texts)} or _index(key, options)


def _index(key: str, options: _Options) -> set[int]:
    return {int(key)} if key.isdigit() and int(key) < len(options.texts) else set()
