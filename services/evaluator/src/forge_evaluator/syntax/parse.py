"""Text to Program, or None when it does not parse. Bounded in size; knows which node types a grammar has."""

from __future__ import annotations

from forge_evaluator.syntax import python, sql, tree
from forge_evaluator.syntax.program import Program

# Parsers need memory in proportion, several hundred bytes a character; nobody's honest answer to a task is longer.
MAX_PARSED = 200_000


def parse(code: str, language: str) -> Program | None:
    if len(code) > MAX_PARSED:
        return None
    if language == "python":
        return python.parse(code)
    if language == "sql":
        return sql.parse(code)
    return tree.parse(code, language)


def knows(what: str, language: str) -> bool:
    """Whether `what` can be asked of a program in this language: a misspelt node type would forbid nothing."""
    if what.startswith(("call:", "import:")):
        return len(what.split(":", 1)[1]) > 0
    return (language == "python" and python.has_node(what)) or tree.has_node(what, language)
