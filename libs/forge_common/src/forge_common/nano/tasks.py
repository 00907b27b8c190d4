"""Fifty-one families of small Python tasks: wordings, reference answers and tests.

Held out are instances (names and constants), not families; nothing here runs a model or judges one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import TypeAlias

from forge_common.nano.vocabulary import WORDS, function_name, is_held_out_constant, repeatable

Value: TypeAlias = int | str | list[int] | list[str]


class Kind(StrEnum):
    INTEGER = "i"
    STRING = "s"
    NUMBERS = "l"
    WORDS = "w"


CONSTANT = "k"
_NAMES = {
    Kind.INTEGER: "a b n m x y num count size age value left right p q total width height i j",
    Kind.STRING: "s t text word name line title label first second prefix msg st key",
    Kind.NUMBERS: "xs nums values items data numbers scores arr seq vals rows",
    Kind.WORDS: "words names parts tokens labels lines ws",
}
ARGUMENTS = {kind: names.split() for kind, names in _NAMES.items()}
SMALL_CONSTANTS = ("repeat", "head", "tail")
"""Families whose constant counts things, so that 2 to 8 is all that makes sense; others take 2 to 59."""

# name, kinds of the parameters in order (k: a constant in the wording), expression, wordings
_TABLE = (
    ("add", "ii", "{a} + {b}", "the sum of {a} and {b}", "{a} added to {b}"),
    ("subtract", "ii", "{a} - {b}", "{a} minus {b}", "the difference of {a} and {b}"),
    ("multiply", "ii", "{a} * {b}", "the product of {a} and {b}", "{a} multiplied by {b}"),
    ("increase", "ik", "{a} + {k}", "{a} plus {k}", "{a} increased by {k}"),
    ("decrease", "ik", "{a} - {k}", "{a} decreased by {k}", "{a} less {k}"),
    ("times", "ik", "{a} * {k}", "{a} times {k}", "{k} times {a}"),
    ("modulo", "ik", "{a} % {k}", "the remainder of {a} divided by {k}", "{a} modulo {k}"),
    ("divide", "ik", "{a} // {k}", "{a} divided by {k} and rounded down", "the whole part of {a} over {k}"),
    ("square", "i", "{a} * {a}", "the square of {a}", "{a} squared"),
    ("cube", "i", "{a} ** 3", "the cube of {a}", "{a} cubed"),
    ("absolute", "i", "abs({a})", "the absolute value of {a}", "{a} without its sign"),
    ("larger", "ii", "max({a}, {b})", "the larger of {a} and {b}", "the maximum of {a} and {b}"),
    ("smaller", "ii", "min({a}, {b})", "the smaller of {a} and {b}", "the minimum of {a} and {b}"),
    ("even", "i", "{a} % 2 == 0", "True when {a} is even", "whether {a} is an even number"),
    ("odd", "i", "{a} % 2 == 1", "True when {a} is odd", "whether {a} is an odd number"),
    (
        "multiple",
        "ik",
        "{a} % {k} == 0",
        "True when {a} is divisible by {k}",
        "whether {a} is a multiple of {k}",
    ),
    ("above", "ik", "{a} > {k}", "True when {a} is greater than {k}", "whether {a} is above {k}"),
    ("below", "ik", "{a} < {k}", "True when {a} is less than {k}", "whether {a} is below {k}"),
    ("cap", "ik", "min({a}, {k})", "{a} limited to at most {k}", "{a} capped at {k}"),
    ("distance", "ii", "abs({a} - {b})", "the distance between {a} and {b}", "how far {a} is from {b}"),
    ("upper", "s", "{a}.upper()", "{a} in upper case", "{a} with capital letters"),
    ("lower", "s", "{a}.lower()", "{a} in lower case", "{a} with small letters"),
    ("reverse", "s", "{a}[::-1]", "{a} reversed", "{a} written backwards"),
    ("length", "s", "len({a})", "the length of {a}", "the number of characters in {a}"),
    ("first", "s", "{a}[0]", "the first character of {a}", "the start character of {a}"),
    ("last", "s", "{a}[-1]", "the last character of {a}", "the end character of {a}"),
    ("repeat", "sk", "{a} * {k}", "{a} repeated {k} times", "{k} copies of {a}"),
    ("strip", "s", "{a}.strip()", "{a} without surrounding spaces", "{a} with outer spaces removed"),
    ("split", "s", "{a}.split()", "the list of words in {a}", "{a} split into words"),
    ("word_count", "s", "len({a}.split())", "the number of words in {a}", "how many words {a} has"),
    ("concatenate", "ss", "{a} + {b}", "{a} followed by {b}", "{a} joined with {b}"),
    ("starts", "ss", "{a}.startswith({b})", "True when {a} starts with {b}", "whether {a} begins with {b}"),
    ("ends", "ss", "{a}.endswith({b})", "True when {a} ends with {b}", "whether {a} finishes with {b}"),
    ("sum", "l", "sum({a})", "the sum of the numbers in {a}", "the total of {a}"),
    ("largest", "l", "max({a})", "the largest number in {a}", "the biggest item of {a}"),
    ("smallest", "l", "min({a})", "the smallest number in {a}", "the least item of {a}"),
    ("ascending", "l", "sorted({a})", "{a} in ascending order", "{a} sorted"),
    (
        "descending",
        "l",
        "sorted({a}, reverse=True)",
        "{a} in descending order",
        "{a} sorted from high to low",
    ),
    ("count", "l", "len({a})", "the number of items in {a}", "how many items {a} has"),
    ("head", "lk", "{a}[:{k}]", "the first {k} items of {a}", "the leading {k} items of {a}"),
    ("tail", "lk", "{a}[-{k}:]", "the last {k} items of {a}", "the trailing {k} items of {a}"),
    (
        "sum_squares",
        "l",
        "sum(v * v for v in {a})",
        "the sum of the squares of the numbers in {a}",
        "the total of the squared items of {a}",
    ),
    (
        "scale",
        "lk",
        "[v * {k} for v in {a}]",
        "each number in {a} multiplied by {k}",
        "{a} with every item scaled by {k}",
    ),
    (
        "shift",
        "lk",
        "[v + {k} for v in {a}]",
        "each number in {a} increased by {k}",
        "{a} with {k} added to every item",
    ),
    (
        "keep_above",
        "lk",
        "[v for v in {a} if v > {k}]",
        "the numbers in {a} greater than {k}",
        "the items of {a} above {k}",
    ),
    (
        "keep_below",
        "lk",
        "[v for v in {a} if v < {k}]",
        "the numbers in {a} less than {k}",
        "the items of {a} below {k}",
    ),
    (
        "keep_even",
        "l",
        "[v for v in {a} if v % 2 == 0]",
        "the even numbers in {a}",
        "only the even items of {a}",
    ),
    (
        "count_above",
        "lk",
        "sum(1 for v in {a} if v > {k})",
        "how many numbers in {a} are greater than {k}",
        "the count of items of {a} above {k}",
    ),
    (
        "distinct",
        "l",
        "sorted(set({a}))",
        "the distinct numbers in {a} in order",
        "the unique items of {a} sorted",
    ),
    ("join", "w", "','.join({a})", "the words in {a} joined by commas", "{a} as a comma separated string"),
    (
        "word_lengths",
        "w",
        "[len(v) for v in {a}]",
        "the length of each word in {a}",
        "the word lengths of {a}",
    ),
)


@dataclass(frozen=True, slots=True)
class Family:
    """One function to write: its parameters' kinds, the expression it returns and the ways to ask for it."""

    name: str
    kinds: tuple[Kind, ...]
    constants: tuple[int, ...]
    expression: str
    wordings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """One request of a family, its fields filled in."""

    family: Family
    name: str
    arguments: tuple[str, ...]
    constant: int | None
    wording: int

    @property
    def phrase(self) -> str:
        return self.family.wordings[self.wording].format(**self._fields())

    @property
    def expression(self) -> str:
        return self.family.expression.format(**self._fields())

    @property
    def signature(self) -> str:
        return f"{self.name}({', '.join(self.arguments)})"

    @property
    def prompt(self) -> str:
        return f"Write a Python function {self.signature} that returns {self.phrase}."

    @property
    def answer(self) -> str:
        return f"```python\ndef {self.signature}:\n    return {self.expression}\n```"

    def _fields(self) -> dict[str, str]:
        fields = dict(zip("ab", self.arguments, strict=False))
        return fields if self.constant is None else fields | {"k": str(self.constant)}


@dataclass(frozen=True, slots=True)
class Case:
    """A call of the function and what it must return, as plain JSON values."""

    args: list[Value]
    expected: Value


def _family(name: str, kinds: str, expression: str, *wordings: str) -> Family:
    parameters = tuple(Kind(kind) for kind in kinds if kind != CONSTANT)
    constants = range(2, 9 if name in SMALL_CONSTANTS else 60) if CONSTANT in kinds else ()
    return Family(name, parameters, tuple(constants), expression, wordings)


FAMILIES = tuple(_family(*row) for row in _TABLE)


def draw(
    random: Random, family: Family, *, held_out: bool | None = False, wording: int | None = None
) -> Task:
    """Fill in one task of `family`.

    Names and constants come from the held-out pools, from the others, or (`held_out=None`) from both;
    `wording=None` draws one.
    """
    arguments: list[str] = []
    for kind in family.kinds:
        arguments.append(random.choice([word for word in ARGUMENTS[kind] if word not in arguments]))
    constants = [k for k in family.constants if held_out is None or is_held_out_constant(k) == held_out]
    return Task(
        family=family,
        name=function_name(random, held_out=random.random() < 0.2 if held_out is None else held_out),
        arguments=tuple(arguments),
        constant=random.choice(constants) if constants else None,
        wording=random.randrange(len(family.wordings)) if wording is None else wording,
    )


def held_out_tasks(per_family: int = 2, seed: int = 777) -> list[Task]:
    """The tasks that models are judged on, in the first wording of each family."""
    random = repeatable(seed)
    return [draw(random, family, held_out=True, wording=0) for family in FAMILIES for _ in range(per_family)]


def training_tasks(seed: int = 42, wording: int | None = None) -> Iterator[Task]:
    """Distinct tasks without end, one family after the other, never with a held-out name or constant."""
    random = repeatable(seed)
    seen: set[str] = set()
    while True:
        for family in FAMILIES:
            task = draw(random, family, wording=wording)
            while task.prompt in seen:
                task = draw(random, family, wording=wording)
            seen.add(task.prompt)
            yield task


def cases(task: Task, count: int = 8) -> list[Case]:
    """Calls with known results, the same ones for the same prompt; they tell the families apart."""
    random = repeatable(task.prompt)
    reference = eval(f"lambda {', '.join(task.arguments)}: {task.expression}")  # noqa: S307 - our own table's expressions
    calls = [_arguments(random, task, turn) for turn in range(count)]
    return [Case(args, reference(*args)) for args in calls]


def _arguments(random: Random, task: Task, turn: int) -> list[Value]:
    values = [_value(random, kind, task.constant, turn) for kind in task.family.kinds]
    if turn % 2 and isinstance(values[0], str):
        # a random prefix or suffix would nearly always answer False
        if task.family.name == "starts":
            values[1] = values[0][:3]
        if task.family.name == "ends":
            values[1] = values[0][-3:]
    return values


def _value(random: Random, kind: Kind, constant: int | None, turn: int) -> Value:
    match kind:
        case Kind.INTEGER:
            return _integer(random, constant, turn)
        case Kind.STRING:
            words = [_capitalised(random) for _ in range(random.randint(1, 3))]
            return random.choice(["", " "]) + " ".join(words) + random.choice(["", " "])
        case Kind.NUMBERS:
            numbers = [random.randint(-9, 80) for _ in range(random.randint(4, 9) + turn)]
            # the constant and its neighbours tell > from >=, a repetition tells sorting from distinct values
            around = [constant + 1, constant, constant - 1] if constant else []
            return [*numbers, numbers[1], *around]
        case Kind.WORDS:
            return [random.choice(WORDS) for _ in range(random.randint(2, 5))]


def _integer(random: Random, constant: int | None, turn: int) -> int:
    """Odd turns lie around the constant, even ones far apart: large, negative, middling, of both parities."""
    if constant and turn % 2:
        return (constant - 1, constant, constant + 1, constant * random.choice((-2, 2, 3)))[turn // 2 % 4]
    low, high = ((61, 95), (-70, -5), (0, 60), (96, 130))[turn // 2 % 4]
    return 2 * (random.randint(low, high) // 2) + (turn // 2 + turn) % 2


def _capitalised(random: Random) -> str:
    word = random.choice(WORDS)
    return word.title() if random.random() < 0.3 else word
