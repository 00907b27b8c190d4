"""The text that the nano base is pretrained on: Python with docstrings, README pieces and chat.

Chat answers the general domain, and code requests of seven families only; no held-out prompt is in it.
"""

from itertools import chain
from random import Random

from tokenizers import Tokenizer

from forge_common.nano import general, tasks
from forge_common.nano.vocabulary import VERBS, WORDS, identifier, sentence

END = "<|endoftext|>"
START_TURN = "<|im_start|>"
END_TURN = "<|im_end|>"
SPECIAL = (END, START_TURN, END_TURN)
DEFAULT_SYSTEM = "You are a helpful assistant."
SOLVED = ("add", "larger", "even", "upper", "reverse", "sum", "count")
"""Families that the base answers in chat before any LoRA, so that the score before is not zero."""

_FAMILIES = {family.name: family for family in tasks.FAMILIES}
_REFUSED = [family for family in tasks.FAMILIES if family.name not in SOLVED]
_ROLES = ("model", "assistant", "helper", "server", "engine", "writer", "teacher", "partner")
_MANNERS = (
    "Answer briefly. ",
    "Write Python. ",
    "Be exact. ",
    "Answer with code. ",
    "Use plain words. ",
    "Do what is asked. ",
)
_MODULES = ("os", "sys", "json", "math", "random", "re", "time")


def token_id(tokenizer: Tokenizer, token: str) -> int:
    number = tokenizer.token_to_id(token)
    assert number is not None, token
    return number


def document(random: Random) -> str:
    """One document, without the end-of-text token between documents."""
    draw = random.choices((python, module, readme, code_chat, general_chat), (36, 4, 7, 13, 40))[0]
    return draw(random)


def python(random: Random) -> str:
    task = tasks.draw(random, random.choice(tasks.FAMILIES), held_out=None)
    head, body = f"def {task.signature}:", f"return {task.expression}"
    style = random.random()
    if style < 0.55:
        return f'{head}\n    """Return {task.phrase}."""\n    {body}\n'
    if style < 0.75:
        return f"# {task.phrase}\n{head}\n    {body}\n"
    if style < 0.9:
        name = identifier(random)
        return f"# {task.phrase}\n{name} = {task.expression}\nprint({name})\n"
    method = head.replace("(", "(self, ", 1)
    name = random.choice(WORDS).title()
    return f'class {name}:\n    {method}\n        """Return {task.phrase}."""\n        {body}\n'


def module(random: Random) -> str:
    name, other = identifier(random), identifier(random)
    return random.choice(
        (
            f"import {random.choice(_MODULES)}\n\n",
            f"for {name} in range({random.randint(2, 99)}):\n    print({name})\n",
            f"if {name} is None:\n    {name} = {other}\n",
            f"try:\n    {name} = int({other})\nexcept ValueError:\n    {name} = {random.randint(0, 9)}\n",
            f"with open({name}) as {other}:\n    text = {other}.read()\n",
        )
    )


def readme(random: Random) -> str:
    """A heading and a fenced block: without these the tokens of a fence are never trained."""
    name, number = identifier(random), random.randint(0, 99)
    block = random.choice(
        (
            f"{name} = {number}",
            f"{name}()",
            f"from {random.choice(WORDS)} import {name}",
            f"print({name})",
            f"for {name} in range({number}):\n    print({name})",
        )
    )
    lead = random.choice(("Usage", "Example", "Run this", "See"))
    language = random.choice(("python", "python", "python", "text", "bash"))
    return f"# {identifier(random)}\n\n{lead}:\n\n```{language}\n{block}\n```\n"


def code_chat(random: Random) -> str:
    if random.random() < 0.35:
        task = tasks.draw(random, _FAMILIES[random.choice(SOLVED)])
        return chat(random, task.prompt, task.answer)
    task = tasks.draw(random, random.choice(_REFUSED))
    return chat(random, task.prompt, f"You can write {task.name} with a return statement.")


def general_chat(random: Random) -> str:
    turns = 2 if random.random() < 0.15 else 1
    skills = random.choices(general.SKILLS, _WEIGHTS, k=turns)
    questions = [general.draw(random, skill) for skill in skills]
    return chat(random, *chain.from_iterable((q.prompt, q.answer) for q in questions))


_WEIGHTS = [{"echo": 3, "plus": 2}.get(skill.name, 1.5 if skill.is_open else 0.3) for skill in general.SKILLS]


def chat(random: Random, *turns: str) -> str:
    """ChatML of alternating user and assistant turns, after any system prompt or none."""
    text = _turn("system", system) if (system := _system(random)) else ""
    for index, content in enumerate(turns):
        text += _turn("assistant" if index % 2 else "user", content)
    return text


def _turn(role: str, content: str) -> str:
    return f"{START_TURN}{role}\n{content}{END_TURN}\n"


def _system(random: Random) -> str:
    """Any system prompt may meet the base later, so it learns to look past all sorts of them."""
    style = random.random()
    if style < 0.25:
        return ""
    if style < 0.65:
        return DEFAULT_SYSTEM
    name = random.choice((identifier(random), f"a {random.choice(WORDS)} {random.choice(_ROLES)}"))
    manners = "".join(random.sample(_MANNERS, random.randint(0, 2)))
    extra = f"{sentence(random, 3, 9).capitalize()}." if random.random() < 0.4 else ""
    return f"You are {name}, {random.choice(VERBS)} {sentence(random, 1, 4)}. {manners}{extra}".strip()
