"""How alike two Python programs are in shape: Dice over their syntax subtrees, blind to names.

Text similarity ranks a broken program above a renamed one; this does not. It never makes up for failing tests.
"""

from __future__ import annotations

import ast
from collections import Counter

from forge_evaluator.extract import parse

_IGNORED = frozenset({"ctx", "type_comment", "kind", "lineno", "col_offset", "end_lineno", "end_col_offset"})
_NAMES = frozenset({"id", "arg", "name", "asname"})
# Beyond this depth a subtree is one leaf: keeps hostile nesting from costing anything.
_MAX_DEPTH = 40


def similarity(code: str, gold: str) -> float | None:
    """Share of 1; None when one of the two does not parse."""
    left, right = parse(code), parse(gold)
    if left is None or right is None:
        return None
    ours, theirs = _subtrees(left), _subtrees(right)
    shared = sum((ours & theirs).values())
    return 2 * shared / (ours.total() + theirs.total())


def _subtrees(tree: ast.Module) -> Counter[int]:
    found: Counter[int] = Counter()
    for node in _without_docstrings(tree).body:
        _shape(node, found, 0)
    return found


def _shape(node: ast.AST, found: Counter[int], depth: int) -> int:
    parts: list[object] = [type(node).__name__]
    if depth < _MAX_DEPTH:
        for field, value in ast.iter_fields(node):
            if field not in _IGNORED:
                parts += [field, _part(field, value, found, depth + 1)]
    shape = hash(tuple(parts))
    found[shape] += 1
    return shape


def _part(field: str, value: object, found: Counter[int], depth: int) -> object:
    if isinstance(value, ast.AST):
        return _shape(value, found, depth)
    if isinstance(value, list):
        return tuple(_part(field, item, found, depth) for item in value)
    return "name" if field in _NAMES and isinstance(value, str) else (type(value).__name__, value)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            body = node.body
            if len(body) > 1 and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
                node.body = body[1:]
    return tree
