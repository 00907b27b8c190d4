"""Gold answers changed in ways whose effect on a right score is known: renamed, broken, cut, padded. For testing scorers.

Nothing here is run; whether a mutant fails is for the tests to say.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import tree_sitter_javascript
import tree_sitter_typescript
from tree_sitter import Language, Node, Parser

from forge_evaluator.syntax import parse

# One token for another; tried in this order at every place until a test fails.
_SWAPS = (
    (r"===", "!=="), (r"(?<![=!<>])==(?!=)", "!="), (r"<=", ">"), (r">=", "<"), (r"(?<![<=-])>(?![>=])", "<"),
    (r"(?<![<])<(?![<=])", ">"), (r"(?<=\w) \+ (?=\w)", " - "), (r"(?<=\w) - (?=\w)", " + "), (r" \* ", " + "), (r"\+=", "-="),
    (r"\bDESC\b", "ASC"), (r"\bLEFT JOIN\b", "JOIN"), (r"\bCOUNT\(", "MAX("), (r"\bSUM\(", "COUNT("), (r"\bAVG\(", "SUM("),
    (r"\bMAX\(", "MIN("), (r"\bMIN\(", "MAX("), (r" -eq ", " -ne "), (r" -gt ", " -lt "), (r"\btrue\b", "false"),
    (r"\bTrue\b", "False"), (r"\bFalse\b", "True"), (r"\bnot ", ""), (r"\band\b", "or"), (r"\bAND\b", "OR"), (r"&&", "||"),
    (r"\b0\b", "1"), (r"\b1\b", "2"), (r"\b2\b", "3"), (r"\breturn (?=\S)", "return not "), (r"\breturn (?=\S)", "return !"),
    (r"\bASC\b", "DESC"), (r"\bORDER BY\b[^;]*", "ORDER BY 1 DESC, 2"), (r"\bWHERE\b", "WHERE NOT"), (r"\bsort\b", "sort -r"),
    (r"\.(?=[a-z])", ".x"), (r"(?m)^SELECT ", "SELECT NULL, "), (r"= ", "!= "), (r"\bin ", "not in "),
)  # fmt: skip
_UNSAFE = frozenset({"locals", "vars", "globals", "eval", "exec"})
_JS = {
    "javascript": tree_sitter_javascript.language,
    "typescript": tree_sitter_typescript.language_typescript,
}


def mutants(code: str, language: str) -> Iterator[str]:
    """Programs that differ in one token and still parse; most of them are wrong."""
    for pattern, replacement in _SWAPS:
        for found in re.finditer(pattern, code):
            changed = code[: found.start()] + replacement + code[found.end() :]
            if parse(changed, language) is not None:
                yield changed


def renamed(code: str, language: str) -> str | None:
    """The same program with other names for what is local to its functions; None where that is not done."""
    if language == "python":
        return _renamed_python(code)
    return _renamed_script(code, language) if language in _JS else None


def _renamed_python(code: str) -> str | None:
    tree = ast.parse(code)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    local = _locals(tree)
    if names & _UNSAFE or not local:
        return None
    return ast.unparse(
        _Renamer({name: f"v{number}_" for number, name in enumerate(sorted(local))}).visit(tree)
    )


def _locals(tree: ast.Module) -> set[str]:
    """Bound in functions, and nowhere where the name itself has a meaning to others."""
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    inside = [inner for function in functions for inner in ast.walk(function)]
    bound = {node.arg for node in inside if isinstance(node, ast.arg)}
    bound |= {node.id for node in inside if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    fixed = {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg}
    fixed |= {
        node.id
        for top in tree.body
        for node in ast.walk(top)
        if _is_global(top, node) and isinstance(node, ast.Name)
    }
    fixed |= {name for node in inside if isinstance(node, ast.Global) for name in node.names}
    fixed |= {found for node in inside for found in _otherwise_bound(node)}
    fixed |= {
        node.id
        for c in inside
        if isinstance(c, ast.ClassDef)
        for node in ast.walk(c)
        if isinstance(node, ast.Name)
    }
    return bound - fixed


def _is_global(top: ast.stmt, node: ast.AST) -> bool:
    return isinstance(top, (ast.Assign, ast.AnnAssign, ast.ClassDef)) and isinstance(node, ast.Name)


def _otherwise_bound(node: ast.AST) -> Iterator[str]:
    if (isinstance(node, ast.ExceptHandler) and node.name) or (
        isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name
    ):
        yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest
    elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, ast.alias):
        yield node.asname or node.name


class _Renamer(ast.NodeTransformer):
    def __init__(self, names: dict[str, str]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self._names.get(node.id, node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.arg = self._names.get(node.arg, node.arg)
        return node

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.Nonlocal:
        node.names = [self._names.get(name, name) for name in node.names]
        return node


def _renamed_script(code: str, language: str) -> str | None:
    root = Parser(Language(_JS[language]())).parse(code.encode()).root_node
    nodes = list(_walk(root))
    fixed = {_text(node) for node in nodes if "shorthand" in node.type}
    fixed |= {_text(name) for node in root.named_children for name in _declared(node, depth=0)}
    local = {_text(name) for node in nodes for name in _declared(node, depth=1)} - fixed
    if not local:
        return None
    numbers = {name: f"v{number}_" for number, name in enumerate(sorted(local))}
    data = code.encode()
    for node in sorted(nodes, key=lambda node: -node.start_byte):
        if node.type == "identifier" and _text(node) in numbers:
            data = data[: node.start_byte] + numbers[_text(node)].encode() + data[node.end_byte :]
    return data.decode()


def _declared(node: Node, depth: int) -> Iterator[Node]:
    """Identifiers that `node` declares: at the top level (0) by statements, below it by parameters and declarators."""
    if depth == 0:
        inner = node.child_by_field_name("declaration") or node
        names = [
            inner.child_by_field_name("name"),
            *(d.child_by_field_name("name") for d in inner.named_children),
        ]
    elif node.type == "formal_parameters":
        names = [child.child_by_field_name("pattern") or child for child in node.named_children]
        names = [name.child_by_field_name("left") or name for name in names if name is not None]
    else:
        names = [node.child_by_field_name("name")] if node.type == "variable_declarator" else []
    yield from (name for name in names if name is not None and name.type == "identifier")


def _walk(root: Node) -> Iterator[Node]:
    pending = [root]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(node.children)


def _text(node: Node) -> str:
    return (node.text or b"").decode()


def half(code: str, language: str) -> str:
    """Its first half: of the statements of every function, else of the lines."""
    if language != "python":
        lines = code.split("\n")
        return "\n".join(lines[: len(lines) // 2]) if len(lines) > 1 else code[: len(code) // 2]
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.body = node.body[: len(node.body) // 2] or [ast.Pass()]
    return ast.unparse(ast.fix_missing_locations(tree))
