"""What the adapters of coding benchmarks share: Python taken apart by its syntax tree. Runs nothing."""

from __future__ import annotations

import ast
import re

from forge_evaluator.imports.records import Unreadable
from forge_evaluator.syntax.python import defines
from forge_evaluator.syntax.python import module_of as parse

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TICKS = re.compile(r"`+")


def entry_point_of(name: str) -> str:
    """Raises Unreadable when `name` is no name of a function."""
    if not _NAME.fullmatch(name):
        raise Unreadable(f"entry_point {name!r} is no name of a function")
    return name


def module(code: str, entry_point: str, what: str) -> ast.Module:
    """The parsed program, which defines `entry_point` at its top level. Raises Unreadable."""
    tree = parse(code)
    if tree is None:
        raise Unreadable(f"{what} is no Python")
    if not defines(tree, entry_point):
        raise Unreadable(f"{what} does not define {entry_point}")
    return tree


def before(code: str, tree: ast.Module, entry_point: str) -> str:
    """What stands before the entry point: imports, constants and helper functions."""
    node = next(node for node in tree.body if defines(ast.Module([node], []), entry_point))
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
    return "\n".join(code.split("\n")[: first - 1]).strip("\n")


def fenced(code: str) -> str:
    """A code block whose fence is longer than any in `code`."""
    ticks = max([3, *(len(found) + 1 for found in _TICKS.findall(code))])
    return f"{'`' * ticks}python\n{code.strip(chr(10))}\n{'`' * ticks}"


def called(tests: str, among: set[str]) -> str | None:
    """The function of `among` that `tests` call first."""
    tree = parse(tests)
    if tree is None:
        return None
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = [name for name in calls if isinstance(name, ast.Name) and name.id in among]
    return min(names, key=lambda name: (name.lineno, name.col_offset)).id if names else None


def functions(tree: ast.Module) -> list[str]:
    return [node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
