"""A teacher for the nano domain: it reads the request and works the answer out, from the prompt alone.

It looks nothing up and says so when it does not know.
"""

import re
from collections.abc import Mapping, Sequence

from forge_common.nano import general
from forge_common.nano.tasks import FAMILIES, Family, Task
from forge_common.nano.wording import IDENTIFIER, NUMBER, inverse

UNKNOWN = "I do not know."
_REQUEST = re.compile(
    rf"Write a Python function (?P<name>{IDENTIFIER})\((?P<arguments>[\w, ]*)\) that returns (?P<phrase>.+)\."
)
_FIELDS = {"a": IDENTIFIER, "b": IDENTIFIER, "k": NUMBER}
_PHRASES = tuple(
    (inverse(wording, _FIELDS), family, index)
    for family in FAMILIES
    for index, wording in enumerate(family.wordings)
)


def answer(messages: Sequence[Mapping[str, object]]) -> str:
    """Answer the last user message of a chat, in OpenAI's form: content as a string or as text parts."""
    prompt = next(
        (_text(m.get("content")) for m in reversed(messages) if m.get("role") == "user"), ""
    ).strip()
    if task := parse(prompt):
        return task.answer
    return general.reply(prompt) or UNKNOWN


def parse(prompt: str) -> Task | None:
    """The task that `prompt` asks for, in any wording of any family; None when it asks for nothing known."""
    request = _REQUEST.fullmatch(prompt)
    if request is None:
        return None
    arguments = tuple(filter(None, re.split(r",\s*", request["arguments"])))
    for pattern, family, wording in _PHRASES:
        phrase = pattern.fullmatch(request["phrase"])
        if phrase and _names_all(phrase.groupdict(), family, arguments):
            constant = phrase.groupdict().get("k")
            return Task(family, request["name"], arguments, int(constant) if constant else None, wording)
    return None


def _names_all(fields: Mapping[str, str], family: Family, arguments: tuple[str, ...]) -> bool:
    """Whether the phrase speaks of the function's own arguments, in their order."""
    return len(arguments) == len(family.kinds) and arguments == tuple(
        fields[slot] for slot in "ab" if slot in fields
    )


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        return ""
    return "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
