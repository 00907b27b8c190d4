"""Python by its own parser. Never runs anything, never repairs anything."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator

from forge_evaluator.syntax import tree
from forge_evaluator.syntax.program import Arity, Program, reached

_TOKEN = re.compile(r"\w+|[^\w\s]")
_IGNORED = frozenset({"ctx", "type_comment", "kind", "lineno", "col_offset", "end_lineno", "end_col_offset"})
_NAMES = frozenset({"id", "arg", "name", "asname"})
# Beyond this depth a subtree is one leaf: keeps hostile nesting from costing anything.
_MAX_DEPTH = 40
_Function = (ast.FunctionDef, ast.AsyncFunctionDef)
_Documented = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def parse(code: str) -> Program | None:
    module = module_of(code)
    return None if module is None else PythonProgram(code, module)


def module_of(code: str) -> ast.Module | None:
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def defines(module: ast.Module, name: str) -> bool:
    """Whether the module's top level binds `name`."""
    return any(_binds(node, name) for node in module.body)


def has_node(name: str) -> bool:
    kind = getattr(ast, name, None)
    return isinstance(kind, type) and issubclass(kind, ast.AST)


class PythonProgram:
    """`module` has no docstrings any more."""

    def __init__(self, code: str, module: ast.Module) -> None:
        self._code = code
        self._module = _without_docstrings(module)

    def defines(self, name: str) -> bool:
        return defines(self._module, name)

    def names(self) -> list[str]:
        kinds = (*_Function, ast.ClassDef)
        return [node.name for node in self._module.body if isinstance(node, kinds)]

    def arity(self, name: str) -> Arity | None:
        function = self._function(name)
        if function is None:
            return None
        arguments = function.args
        most = len(arguments.posonlyargs) + len(arguments.args)
        return Arity(most - len(arguments.defaults), None if arguments.vararg else most)

    def _function(self, name: str) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
        found = [node for node in self._module.body if isinstance(node, _Function) and node.name == name]
        return found[-1] if found else None

    def is_stub(self, name: str | None) -> bool:
        bodies = [
            node.body
            for node in self._module.body
            if isinstance(node, _Documented) and _binds(node, name or "")
        ]
        return bool(bodies) and all(_works_out_nothing(statement) for statement in bodies[-1])

    def is_usage(self) -> bool:
        return all(isinstance(node, (ast.Assert, ast.Expr)) for node in self._module.body)

    def is_imports(self) -> bool:
        return all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in self._module.body)

    def is_code(self) -> bool:
        kinds = (*_Function, ast.ClassDef, ast.Assign)
        return any(isinstance(node, kinds) for node in self._module.body)

    def uses(self, what: str) -> bool:
        kind, _, name = what.partition(":")
        if kind == "call" and name:
            return any(_calls(node, name) for node in ast.walk(self._module))
        if kind == "import" and name:
            return any(_imports(node, name) for node in ast.walk(self._module))
        if has_node(what):
            return any(type(node).__name__ == what for node in ast.walk(self._module))
        parsed = tree.parse(self._code, "python")
        return parsed is not None and parsed.uses(what)

    def longest_function(self) -> int:
        return max(
            (_lines(node) for node in ast.walk(self._module) if isinstance(node, _Function)), default=0
        )

    def tokens(self) -> list[str]:
        try:
            return _TOKEN.findall(ast.unparse(self._module))
        except RecursionError:
            return _TOKEN.findall(self._code)

    def needed_by(self, name: str | None) -> PythonProgram:
        body = self._module.body
        starts = [number for number, node in enumerate(body) if name and _binds(node, name)]
        if not starts:
            return self
        kept = reached(starts, [_bound_by(node) for node in body], [_spoken_in(node) for node in body])
        return PythonProgram(self._code, ast.Module([body[number] for number in kept], []))

    def subtrees(self) -> Counter[int]:
        found: Counter[int] = Counter()
        for node in self._module.body:
            _shape(node, found, 0)
        return found


def _binds(node: ast.stmt | ast.Module, name: str) -> bool:
    if isinstance(node, (*_Function, ast.ClassDef)):
        return node.name == name
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
    if isinstance(node, ast.AnnAssign):
        return isinstance(node.target, ast.Name) and node.target.id == name and node.value is not None
    return False


def _bound_by(node: ast.stmt) -> set[str]:
    """Names that a statement of the top level binds there."""
    if isinstance(node, (*_Function, ast.ClassDef)):
        return {node.name}
    inside = list(ast.walk(node))
    names = {inner.id for inner in inside if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)}
    names |= {inner.name for inner in inside if isinstance(inner, (*_Function, ast.ClassDef))}
    return names | {
        (alias.asname or alias.name).partition(".")[0] for alias in inside if isinstance(alias, ast.alias)
    }


def _spoken_in(node: ast.stmt) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}


def _works_out_nothing(node: ast.stmt) -> bool:
    match node:
        case ast.Pass() | ast.Raise():
            return True
        case ast.Expr(value=value) | ast.Return(value=value):
            return value is None or _is_constant(value)
        case ast.FunctionDef(body=body) | ast.AsyncFunctionDef(body=body):
            return all(_works_out_nothing(statement) for statement in body)
        case _:
            return False


def _is_constant(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp):
        return _is_constant(node.operand)
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return not node.elts
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Dict) and not node.keys)


def _calls(node: ast.AST, name: str) -> bool:
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Name):
        return node.func.id == name
    return isinstance(node.func, ast.Attribute) and name in (node.func.attr, _dotted(node.func))


def _dotted(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([*([node.id] if isinstance(node, ast.Name) else []), *reversed(parts)])


def _imports(node: ast.AST, name: str) -> bool:
    modules = _imported(node)
    return any(module == name or module.startswith(f"{name}.") for module in modules)


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module
    elif isinstance(node, ast.Call) and (_calls(node, "__import__") or _calls(node, "import_module")):
        yield from (
            a.value for a in node.args[:1] if isinstance(a, ast.Constant) and isinstance(a.value, str)
        )


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    last = max(statement.end_lineno or statement.lineno for statement in node.body)
    # The docstring is gone from the body: its lines lie between the signature and the first statement.
    first = node.body[0].lineno
    signature = max([node.lineno, *(argument.end_lineno or node.lineno for argument in _arguments(node))])
    return last - first + 1 + signature - node.lineno + 1 if first > signature else last - node.lineno + 1


def _arguments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.expr | ast.arg]:
    arguments = node.args
    plain: list[ast.expr | ast.arg] = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [*plain, *arguments.defaults, *([node.returns] if node.returns else [])]


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


def _without_docstrings(module: ast.Module) -> ast.Module:
    for node in ast.walk(module):
        if isinstance(node, _Documented):
            body = node.body
            if len(body) > 1 and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
                node.body = body[1:]
    return module
