"""Numbers with unit and scale, and dates, as people write them. Converts only what converts exactly; guesses no day-month order."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

_FALLING = re.compile(
    r"\b(?:loss|los[et]s?|fall|falls|fell|fallen|declin\w*|decreas\w*|drop\w*|lower|down|negative|deficit|outflow|short\w*"
    r"|reduc\w*|cost|costs|shrink\w*|worse\w*|unfavou?rable|adverse|minus)\b",
    re.IGNORECASE,
)
_SCALES = {
    "hundred": 1e2, "thousand": 1e3, "k": 1e3, "million": 1e6, "millions": 1e6, "mn": 1e6, "mm": 1e6, "mln": 1e6,
    "m": 1e6, "billion": 1e9, "billions": 1e9, "bn": 1e9, "b": 1e9, "trillion": 1e12, "tn": 1e12,
}  # fmt: skip
_ONLY_WITH_MONEY = frozenset(["m", "mm", "b"])  # metres, millimetres and bytes elsewhere

# Dimension → spelling → factor. Within a dimension conversion is exact.
_UNITS: tuple[dict[str, float], ...] = (
    {"%": 1, "percent": 1, "per cent": 1, "pct": 1, "bp": 0.01, "bps": 0.01, "basis point": 0.01, "basis points": 0.01},
    {"percentage point": 1, "percentage points": 1, "pp": 1, "ppt": 1, "bp": 0.01, "bps": 0.01, "basis point": 0.01,
     "basis points": 0.01},
    {"kg": 1e3, "kilogram": 1e3, "kilograms": 1e3, "g": 1, "gram": 1, "grams": 1, "mg": 1e-3, "milligram": 1e-3,
     "milligrams": 1e-3, "mcg": 1e-6, "µg": 1e-6, "μg": 1e-6, "ug": 1e-6, "microgram": 1e-6, "micrograms": 1e-6},
    {"l": 1, "litre": 1, "litres": 1, "liter": 1, "liters": 1, "dl": 0.1, "ml": 1e-3, "millilitre": 1e-3,
     "millilitres": 1e-3, "milliliter": 1e-3, "milliliters": 1e-3, "cc": 1e-3},
    {"second": 1, "seconds": 1, "sec": 1, "s": 1, "minute": 60, "minutes": 60, "min": 60, "hour": 3600, "hours": 3600,
     "h": 3600, "hr": 3600, "hrs": 3600, "day": 86400, "days": 86400, "week": 604800, "weeks": 604800},
    {"month": 1, "months": 1, "year": 12, "years": 12, "yr": 12, "yrs": 12, "decade": 120, "decades": 120},
    {"km": 1e3, "kilometre": 1e3, "kilometres": 1e3, "kilometer": 1e3, "kilometers": 1e3, "m": 1, "metre": 1,
     "metres": 1, "meter": 1, "meters": 1, "cm": 0.01, "centimetre": 0.01, "centimetres": 0.01, "centimeter": 0.01,
     "centimeters": 0.01, "mm": 1e-3, "millimetre": 1e-3, "millimetres": 1e-3, "millimeter": 1e-3, "millimeters": 1e-3},
    {"x": 1, "×": 1, "times": 1, "fold": 1},
)  # fmt: skip
_MONEY: dict[str, tuple[str, ...]] = {
    "usd": ("usd", "us$", "$", "dollar", "dollars", "us dollar", "us dollars", "u.s. dollars"),
    "eur": ("eur", "€", "euro", "euros"),
    "gbp": ("gbp", "£", "pound", "pounds", "pounds sterling"),
    "jpy": ("jpy", "¥", "yen"),
    "chf": ("chf", "franc", "francs", "swiss francs"),
    "cad": ("cad", "c$", "ca$", "canadian dollars"),
    "aud": ("aud", "a$", "au$", "australian dollars"),
    "inr": ("inr", "₹", "rupee", "rupees"),
    "cny": ("cny", "rmb", "yuan", "renminbi"),
}
_MONEY_SIGNS = tuple(sorted({form for forms in _MONEY.values() for form in forms}, key=len, reverse=True))

_WORD_NUMBERS = {
    word: value
    for value, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
            "twenty",
        ]
    )
} | {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_UNIT_WORDS = "one|two|three|four|five|six|seven|eight|nine"
_NUMBER = re.compile(
    r"(?<![\w.,])(?:\d{1,3}(?:[,']\d{3})+(?:\.\d+)?(?!\d)|\d{1,3}(?:\.\d{3}){2,}(?:,\d+)?|\d{1,30}[.,]\d{1,30}|\d{1,30}|\.\d{1,30})"
    rf"(?!\d)|\b(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)[- ](?:{_UNIT_WORDS})\b"
    rf"|\b(?:{'|'.join(_WORD_NUMBERS)})\b",
    re.IGNORECASE,
)
# `1 200 000`, besides the numbers that it may also be.
_SPACED = re.compile(r"(?<![\w.,])(?<!\d )\d{1,3}(?: \d{3})+(?:\.\d{1,30})?(?![\d.,]\d| \d|\d)")
_POINTS_GROUP = re.compile(r"\d{1,3}(?:\.\d{3}){2,}(?:,\d+)?")
_COMMAS_GROUP = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_SIGN = re.compile(r"(?:(?<![\w)])-|\bminus\s|\bnegative\s)\s?$", re.IGNORECASE)
_BEFORE_MONEY = re.compile(rf"(?:{'|'.join(map(re.escape, _MONEY_SIGNS))})\s?$", re.IGNORECASE)
_AFTER_SCALE = re.compile(
    rf"^[\s-]?\s?({'|'.join(sorted(_SCALES, key=len, reverse=True))})\b\.?", re.IGNORECASE
)
_IN_WORDS = re.compile(r"^\s?\((?:\d+|[a-z-]+)\)", re.IGNORECASE)
_FILLER = re.compile(
    r"^[\s-]?(?:(?:full|whole|calendar|consecutive|further|more|additional)\s)?(?:of\s)?\s?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Figure:
    """`value` with its scale worked in, `bare` without; `before` and `after` are the text around it."""

    value: float
    bare: float
    before: str
    after: str
    start: int


def figures(text: str) -> Iterator[Figure]:
    for found in chain(_NUMBER.finditer(text), _SPACED.finditer(text)):
        before, after = text[max(0, found.start() - 48) : found.start()], text[found.end() : found.end() + 48]
        money = _BEFORE_MONEY.search(before)
        sign = before[: money.start()] if money else before
        is_negative = bool(_SIGN.search(sign) or _SIGN.search(before)) or (
            sign.endswith("(") and after.lstrip(" %").startswith(")") and found.group()[0].isdigit()
        )
        if found.group().isalpha() and (repeated := _IN_WORDS.match(after)):
            after = after[repeated.end() :]
        sign_of = -1 if is_negative else 1
        bare = sign_of * _value(found.group())
        scale, after = _scale(after, has_money=bool(money))
        yield Figure(bare * scale, bare, before, after, found.start())


def _value(number: str) -> float:
    if number[0].isalpha():
        return sum(_WORD_NUMBERS[word] for word in re.split(r"[-\s]", number.lower()))
    digits = re.sub(r"[ ']", "", number)
    if _POINTS_GROUP.fullmatch(digits):
        return float(digits.replace(".", "").replace(",", "."))
    if _COMMAS_GROUP.fullmatch(digits):
        return float(digits.replace(",", ""))
    return float(digits.replace(",", "."))


def _scale(after: str, *, has_money: bool) -> tuple[float, str]:
    """The factor that a word like `million` stands for, and what follows it."""
    found = _AFTER_SCALE.match(after)
    if not found:
        return 1.0, after
    scale, rest = found[1].lower(), after[found.end() :]
    if scale in _ONLY_WITH_MONEY and not has_money and not _starts_with_money(rest):
        return 1.0, after
    return _SCALES[scale], rest


def _starts_with_money(text: str) -> bool:
    return bool(_money_after(_MONEY_SIGNS).match(text))


@lru_cache(maxsize=64)
def _money_after(forms: tuple[str, ...]) -> re.Pattern[str]:
    alternatives = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
    return re.compile(rf"^\s?(?:{alternatives})(?!\w)", re.IGNORECASE)


def is_falling(text: str) -> bool:
    """Whether a sign may be said in words: `a loss of 9.3 %` is -9.3 %."""
    return bool(_FALLING.search(text))


@dataclass(frozen=True, slots=True)
class Unit:
    """What a check expects: `scale` multiplies its value (`million USD`), `forms` give factors to its own unit."""

    scale: float
    money: tuple[str, ...]
    forms: dict[str, float]
    literal: re.Pattern[str] | None


@lru_cache(maxsize=512)
def unit(text: str) -> Unit:
    scale, kept = 1.0, list[str]()
    for word in text.casefold().split():
        if word in _SCALES and word not in _ONLY_WITH_MONEY | {"k"}:
            scale *= _SCALES[word]
        else:
            kept.append(word)
    name = " ".join(kept)
    for forms in _MONEY.values():
        if name in forms:
            return Unit(scale, forms, {}, None)
    for dimension in _UNITS:
        if name in dimension:
            factor = dimension[name]
            return Unit(scale, (), {form: other / factor for form, other in dimension.items()}, None)
    return Unit(scale, (), {}, _literal(name) if name else None)


def _literal(name: str) -> re.Pattern[str]:
    """`mg/kg` also as `mg per kg`, `credit` also as `credits`; spaces do not matter."""
    parts = [re.escape(part) for part in re.split(r"\s*(?:/|\bper\b)\s*|\s+", name) if part]
    joint = r"(?:\s*/\s*|\s+per\s+|[\s-]+)"
    plural = "" if not name[-1].isalpha() else "?" if name.endswith("s") else "s?"
    return re.compile(rf"^[\s-]?{joint.join(parts)}{plural}(?!\w)", re.IGNORECASE)


def amounts(figure: Figure, expected: Unit) -> Iterator[float]:
    """`figure` in the expected unit, in every way that it can be read; nothing when its unit is another."""
    if expected.money:
        before = _BEFORE_MONEY.search(figure.before)
        if (before and before.group().strip().casefold() in expected.money) or (
            not before and _money_after(expected.money).match(figure.after)
        ):
            yield figure.value
    elif expected.forms:
        if form := _form_after(figure.after, tuple(expected.forms)):
            yield figure.value * expected.forms[form]
    elif _has_literal(figure.after, expected.literal):
        yield figure.value
        if expected.literal is None:  # the task may count in thousands
            yield figure.bare


def _has_literal(after: str, literal: re.Pattern[str] | None) -> bool:
    """A bare number is asked for where there is no unit; a percentage is none."""
    if literal is None:
        return not _form_after(after, tuple(_UNITS[0]))
    return bool(literal.match(after) or literal.match(_FILLER.sub(" ", after)))


def _form_after(after: str, forms: tuple[str, ...]) -> str | None:
    """`10 business days` is no number of days."""
    for text in (after, _FILLER.sub(" ", after)):
        if found := _forms(forms).match(text):
            return found[1].casefold()
    return None


@lru_cache(maxsize=64)
def _forms(forms: tuple[str, ...]) -> re.Pattern[str]:
    alternatives = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
    # `mg/kg` and `mg per day` are other units than `mg`; a bare `a month` is left alone.
    return re.compile(
        rf"^[\s-]?\s?({alternatives})(?![\w/]|\s?per\s(?:kg|kilogram|dl|m2|ml|l)\b)", re.IGNORECASE
    )


_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            ("january", "jan"), ("february", "feb"), ("march", "mar"), ("april", "apr"), ("may",), ("june", "jun"),
            ("july", "jul"), ("august", "aug"), ("september", "sep", "sept"), ("october", "oct"), ("november", "nov"),
            ("december", "dec"),
        ),
        start=1,
    )
    for name in names
}  # fmt: skip
_MONTH = rf"({'|'.join(sorted(_MONTHS, key=len, reverse=True))})\b\.?"
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
_DATES = (
    (re.compile(r"(?<![\d/.-])(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)"), "ymd"),
    (re.compile(rf"\b{_MONTH}\s+{_DAY}\s?,?\s+(\d{{4}})\b", re.IGNORECASE), "mdy"),
    (
        re.compile(rf"(?<!\d){_DAY}[\s-]+(?:day\s+)?(?:of\s+)?{_MONTH},?[\s-]+(\d{{4}})\b", re.IGNORECASE),
        "dmy",
    ),
    (re.compile(r"(?<![\d/.-])(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})(?!\d)"), "??y"),
)


def dates(text: str) -> Iterator[tuple[dt.date, int]]:
    """Dates and where they begin. `03/04/2026` could be either of two days and is none; `25/12/2026` can only be one."""
    for pattern, order in _DATES:
        for found in pattern.finditer(text):
            if date := _date(found, order):
                yield date, found.start()


def _date(found: re.Match[str], order: str) -> dt.date | None:
    first, second, third = (_MONTHS.get(part.lower()) or int(part) for part in found.groups())
    if order == "??y":
        if first <= 12 and second <= 12 and first != second:
            return None
        order = "dmy" if second <= 12 else "mdy"
    parts = dict(zip(order, (first, second, third), strict=True))
    try:
        return dt.date(parts["y"], parts["m"], parts["d"])
    except ValueError:
        return None
