"""The general domain: copying, extracting, small sums and small talk, to see what a model forgets.

Every answer follows from the question's own words; a question outside this grammar has no answer here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import TypeAlias
from zlib import crc32

from forge_common.nano.tasks import ARGUMENTS
from forge_common.nano.vocabulary import WORDS, identifier, repeatable, sentence
from forge_common.nano.wording import IDENTIFIER, NUMBER, inverse

Fields: TypeAlias = dict[str, str]

_FIELDS = {
    "text": r"\S.*",
    "name": IDENTIFIER,
    "first": IDENTIFIER,
    "second": IDENTIFIER,
    "arguments": rf"{IDENTIFIER}(?:, {IDENTIFIER})*",
    "n": NUMBER,
    "m": NUMBER,
}
_ARGUMENT_NAMES = sorted({name for names in ARGUMENTS.values() for name in names})


@dataclass(frozen=True, slots=True)
class Skill:
    """One kind of question: its wordings, how fields are drawn, and the answer from the fields."""

    name: str
    wordings: tuple[str, ...]
    fill: Callable[[Random], Fields]
    reply: Callable[[Fields], str]
    is_open: bool = True
    """Whether it has enough instances to hold some out."""


def _names(random: Random) -> Fields:
    return {"text": " ".join(identifier(random) for _ in range(random.randint(1, 3)))}


def _words(random: Random) -> Fields:
    return {"text": sentence(random, 2, 6)}


def _pair(random: Random) -> Fields:
    first, second = random.sample(WORDS, 2)
    return {"first": first, "second": second}


def _call(random: Random) -> Fields:
    first, second = random.sample(_ARGUMENT_NAMES, 2)
    return {"name": identifier(random), "first": first, "second": second}


def _any_call(random: Random) -> Fields:
    arguments = random.sample(_ARGUMENT_NAMES, random.randint(1, 3))
    return {"name": identifier(random), "arguments": ", ".join(arguments)}


def _name(random: Random) -> Fields:
    return {"name": identifier(random)}


def _assignment(random: Random) -> Fields:
    return {"name": identifier(random), "n": str(random.randint(2, 99))}


def _addends(random: Random) -> Fields:
    return {"n": str(random.randint(1, 20)), "m": str(random.randint(1, 20))}


def _number(random: Random) -> Fields:
    return {"n": str(random.randint(1, 998))}


def _fixed(name: str, question: str, answer: str) -> Skill:
    return Skill(name, (question,), lambda _: {}, lambda _: answer, is_open=False)


SKILLS = (
    Skill("echo", ("Repeat: {text}", "Say again: {text}", "Echo {text}"), _names, lambda f: f["text"]),
    Skill("first word", ("What is the first word of: {text}",), _words, lambda f: f["text"].split()[0]),
    Skill("last word", ("What is the last word of: {text}",), _words, lambda f: f["text"].split()[-1]),
    Skill("swap", ("Swap: {first} {second}",), _pair, lambda f: f"{f['second']} {f['first']}"),
    Skill(
        "arguments",
        ("Name the arguments of the call {name}({first}, {second}).",),
        _call,
        lambda f: f"{f['first']} and {f['second']}",
    ),
    Skill("called", ("Which name is called in {name}({arguments})?",), _any_call, lambda f: f["name"]),
    Skill("assign", ("Set {name} to {n}.",), _assignment, lambda f: f"`{f['name']} = {f['n']}`"),
    Skill("plus", ("What is {n} plus {m}?",), _addends, lambda f: str(int(f["n"]) + int(f["m"]))),
    Skill("after", ("What comes after {n}?",), _number, lambda f: str(int(f["n"]) + 1)),
    Skill(
        "identity",
        ("My name is {name} and I am {n} years old. Who am I?",),
        _assignment,
        lambda f: f"You are {f['name']} and you are {f['n']}.",
    ),
    Skill("greeting", ("Hi, I am {name}.",), _name, lambda f: f"Hello {f['name']}! How can I help you?"),
    _fixed("hello", "Hello!", "Hello! How can I help you?"),
    _fixed("thanks", "Thanks.", "You are welcome."),
    _fixed("who", "Who are you?", "I am a small model made for tests."),
    _fixed("what", "What can you do?", "I can repeat words and answer short questions."),
)
_PATTERNS = tuple((inverse(wording, _FIELDS), skill) for skill in SKILLS for wording in skill.wordings)


@dataclass(frozen=True, slots=True)
class Question:
    """A question and its only right answer."""

    skill: str
    prompt: str
    answer: str


def reply(prompt: str) -> str | None:
    """Answer `prompt` from its own words; None for a question that this domain does not know."""
    for pattern, skill in _PATTERNS:
        if found := pattern.fullmatch(prompt.strip()):
            return skill.reply(found.groupdict())
    return None


def is_held_out(prompt: str) -> bool:
    """Whether an open question is kept for judging: one in five, by its text, so no list is needed."""
    return crc32(prompt.encode()) % 5 == 0


def draw(random: Random, skill: Skill, *, held_out: bool = False) -> Question:
    """Make one question of `skill`; the few fixed ones cannot be held out and are never asked for judging."""
    while True:
        prompt = random.choice(skill.wordings).format(**skill.fill(random))
        if not skill.is_open or is_held_out(prompt) == held_out:
            answer = reply(prompt)
            assert answer is not None
            return Question(skill.name, prompt, answer)


def held_out_questions(per_skill: int = 6, seed: int = 777) -> list[Question]:
    """The questions that models are judged on, `per_skill` of each open skill."""
    questions = _distinct(repeatable(seed), [skill for skill in SKILLS if skill.is_open], held_out=True)
    return list(islice(questions, per_skill * sum(skill.is_open for skill in SKILLS)))


def training_questions(seed: int = 42) -> Iterator[Question]:
    """Distinct questions without end, one skill after the other, never a held-out one."""
    return _distinct(repeatable(seed), SKILLS, held_out=False)


def _distinct(random: Random, skills: Sequence[Skill], *, held_out: bool) -> Iterator[Question]:
    seen: set[str] = set()
    while True:
        for skill in skills:
            question = draw(random, skill, held_out=held_out)
            while skill.is_open and question.prompt in seen:
                question = draw(random, skill, held_out=held_out)
            if question.prompt not in seen:
                seen.add(question.prompt)
                yield question
