"""SQL by sqlglot's SQLite dialect. Where it differs from SQLite itself, the database that runs the script is right."""

from __future__ import annotations

import logging
from collections import Counter

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from forge_evaluator.syntax.program import Arity, Program

# Its parser is pure Python: about a second for this much.
_MAX_CHARACTERS = 50_000
_STATEMENTS = (
    exp.Query, exp.Insert, exp.Update, exp.Delete, exp.Create, exp.Drop, exp.Alter, exp.Pragma, exp.Transaction,
    exp.Commit, exp.Describe,
)  # fmt: skip
# Beyond this depth a subtree is one leaf: `1+1+1…` nests as deep as it is long.
_MAX_DEPTH = 40
# Aliases, and the qualifiers that use them.
_UNSEEN = frozenset({(exp.Column, "table"), (exp.Table, "alias")})
_PASSED_ON = frozenset({"ANALYZE", "CREATE", "EXPLAIN", "REPLACE", "RELEASE", "SAVEPOINT", "VACUUM"})
# It warns of statements that it only passes on; that is no news here.
logging.getLogger("sqlglot").setLevel(logging.ERROR)


def parse(code: str) -> Program | None:
    if len(code) > _MAX_CHARACTERS:
        return None
    try:
        found = sqlglot.parse(code, read="sqlite")
        tokens = sqlglot.tokenize(code, read="sqlite")
    except (SqlglotError, RecursionError, ValueError):
        return None
    statements = [statement for statement in found if statement is not None]
    return SqlProgram(statements, [token.text.lower() for token in tokens]) if statements else None


class SqlProgram:
    def __init__(self, statements: list[exp.Expr], tokens: list[str]) -> None:
        self._all = statements
        self._tokens = tokens

    def defines(self, name: str) -> bool:
        return any(node.name.lower() == name.lower() for node in self._all)

    def names(self) -> list[str]:
        return []

    def arity(self, name: str) -> Arity | None:  # noqa: ARG002 (SQL has no functions to call)
        return None

    def is_stub(self, name: str | None) -> bool:  # noqa: ARG002
        """Queries that look at no table."""
        return all(isinstance(node, exp.Query) and node.find(exp.Table) is None for node in self._all)

    def is_usage(self) -> bool:
        return False

    def is_imports(self) -> bool:
        return False

    def is_code(self) -> bool:
        return all(isinstance(node, _STATEMENTS) or _is_command(node) for node in self._all)

    def uses(self, what: str) -> bool:
        return any(type(node).__name__.lower() == what.lower() for tree in self._all for node in tree.walk())

    def longest_function(self) -> int:
        return 0

    def tokens(self) -> list[str]:
        return self._tokens

    def needed_by(self, name: str | None) -> SqlProgram:  # noqa: ARG002
        """Every statement of it counts."""
        return self

    def subtrees(self) -> Counter[int]:
        found: Counter[int] = Counter()
        for statement in self._all:
            _Shapes(statement, found).of(statement, 0)
        return found


def _is_command(node: exp.Expr) -> bool:
    """Statements that the library passes on unread: triggers, REPLACE, EXPLAIN."""
    return isinstance(node, exp.Command) and str(node.this).upper() in _PASSED_ON


class _Shapes:
    """Blind to aliases and to the names of common table expressions; tables and columns are the schema's."""

    def __init__(self, statement: exp.Expr, found: Counter[int]) -> None:
        self._found = found
        self._chosen = {
            node.alias.lower()
            for node in statement.find_all(exp.Alias, exp.TableAlias, exp.Table)
            if node.alias
        } | {node.name.lower() for node in statement.find_all(exp.TableAlias)}

    def of(self, node: exp.Expr, depth: int) -> int:
        if isinstance(node, exp.Alias):
            return self.of(node.this, depth)
        if isinstance(node, exp.Identifier):
            name = node.name.lower()
            return hash("chosen" if name in self._chosen else name)
        parts: list[object] = [type(node).__name__]
        if depth < _MAX_DEPTH:
            for key, value in sorted(node.args.items()):
                if (type(node), key) in _UNSEEN:
                    continue
                values = value if isinstance(value, list) else [value]
                parts += [key, *(self._part(item, depth + 1) for item in values if item not in (None, False))]
        shape = hash(tuple(parts))
        self._found[shape] += 1
        return shape

    def _part(self, value: object, depth: int) -> object:
        return self.of(value, depth) if isinstance(value, exp.Expr) else repr(value)
