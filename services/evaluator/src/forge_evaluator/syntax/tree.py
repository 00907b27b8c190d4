"""JavaScript, TypeScript, bash and languages that are only read (Go, Rust, Java, C, C++), by tree-sitter's grammars.

A tree with an error in it is no program. All walks are loops: hostile nesting costs memory in proportion, never the stack.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache

import tree_sitter_bash
import tree_sitter_c
import tree_sitter_cpp
import tree_sitter_go
import tree_sitter_java
import tree_sitter_javascript
import tree_sitter_python
import tree_sitter_rust
import tree_sitter_typescript
from tree_sitter import Language, Node, Parser

from forge_evaluator.syntax.program import Arity, Program, reached

_GRAMMARS: dict[str, Callable[[], object]] = {
    "bash": tree_sitter_bash.language,
    "c": tree_sitter_c.language,
    "cpp": tree_sitter_cpp.language,
    "go": tree_sitter_go.language,
    "java": tree_sitter_java.language,
    "javascript": tree_sitter_javascript.language,
    "python": tree_sitter_python.language,
    "rust": tree_sitter_rust.language,
    "typescript": tree_sitter_typescript.language_typescript,
}
# Bash's grammar takes the square of the length for many unclosed here-documents: 0.4 s for this much.
_MAX_BYTES = {"bash": 20_000}
# Names that an author chooses; a property's or a command's name is the language's or a library's.
_CHOSEN = frozenset(
    ["identifier", "shorthand_property_identifier", "shorthand_property_identifier_pattern", "type_identifier",
     "variable_name"]
)  # fmt: skip
_UNSEEN = frozenset({"comment", "line_comment", "block_comment", "hash_bang_line", "type_annotation"})
_FUNCTIONS = frozenset(
    ["function_declaration", "generator_function_declaration", "function_expression", "generator_function",
     "function", "arrow_function", "method_definition", "function_definition", "function_item", "method_declaration"]
)  # fmt: skip
_LITERALS = frozenset(
    ["number", "string", "true", "false", "null", "undefined", "array", "object", "template_string",
     "unary_expression"]
)  # fmt: skip
_IDLE = frozenset({"throw_statement", "empty_statement", ";"})
_QUIET_COMMANDS = frozenset({":", "true", "false", "exit", "echo", "printf", "set", "return"})
# What a script without a fence may begin its lines with; prose parses as commands too.
_COMMANDS = frozenset(
    [":", "[", "[[", "alias", "awk", "basename", "bc", "cat", "cd", "chmod", "chown", "cmp", "comm", "cp", "curl",
     "cut", "date", "dd", "declare", "df", "diff", "dirname", "du", "echo", "egrep", "env", "eval", "exec", "exit",
     "export", "expr", "find", "fold", "getopts", "git", "grep", "gunzip", "gzip", "head", "hostname", "id",
     "install", "jq", "join", "kill", "less", "let", "ln", "local", "ls", "mapfile", "mkdir", "mktemp", "mv", "nl",
     "od", "paste", "popd", "printf", "ps", "pushd", "pwd", "read", "readarray", "readonly", "realpath", "return",
     "rev", "rm", "rmdir", "sed", "seq", "set", "shift", "shopt", "shuf", "sleep", "sort", "source", "split",
     "stat", "tac", "tail", "tar", "tee", "test", "time", "touch", "tr", "trap", "true", "truncate", "type",
     "typeset", "ulimit", "umask", "uname", "uniq", "unset", "unzip", "wait", "wc", "which", "while", "xargs",
     "xxd", "zip"]
)  # fmt: skip


@cache
def _language(name: str) -> Language:
    return Language(_GRAMMARS[name]())


def has_node(name: str, language: str) -> bool:
    if language not in _GRAMMARS:
        return False
    grammar = _language(language)
    return any(grammar.id_for_node_kind(name, named) is not None for named in (True, False))


def parse(code: str, language: str) -> Program | None:
    if language not in _GRAMMARS:
        return None
    data = code.encode("utf-8", "replace")
    if len(data) > _MAX_BYTES.get(language, len(data)):
        return None
    root = Parser(_language(language)).parse(data).root_node
    return None if root.has_error else TreeProgram(root, language)


class TreeProgram:
    """`kept`: the statements of the top level that count; all of them by default."""

    def __init__(self, root: Node, language: str, kept: Sequence[Node] | None = None) -> None:
        self._root = root
        self._language = language
        self._kept = root.children if kept is None else kept

    def defines(self, name: str) -> bool:
        return any(bound == name for bound, _ in self._bound())

    def names(self) -> list[str]:
        return [bound for bound, _ in self._bound()]

    def arity(self, name: str) -> Arity | None:
        found = [node for bound, node in self._bound() if bound == name and node.type in _FUNCTIONS]
        return _arity(found[-1]) if found else None

    def is_stub(self, name: str | None) -> bool:
        if self._language == "bash":
            return self._is_idle_script()
        found = [node for bound, node in self._bound() if bound == name]
        if not found:
            return False
        functions = [node for node in _walk(found[-1]) if node.type in _FUNCTIONS]
        return all(_works_out_nothing(function) for function in functions)

    def _is_idle_script(self) -> bool:
        """What stands in functions counts only when something calls them."""
        nodes = list(_walk(self._root, past="function_definition"))
        if any("expansion" in node.type or "substitution" in node.type for node in nodes):
            return False
        return all(_text(name) in _QUIET_COMMANDS for name in nodes if name.type == "command_name")

    def is_usage(self) -> bool:
        if self._language == "bash":
            return False
        return all(node.type == "expression_statement" and not _exports(node) for node in self._statements())

    def is_imports(self) -> bool:
        return all(_is_import(node) for node in self._statements())

    def is_code(self) -> bool:
        if self._language == "bash":
            return _text(self._root).startswith("#!") or all(map(_is_command, self._statements()))
        return any(True for _ in self._bound())

    def uses(self, what: str) -> bool:
        kind, _, name = what.partition(":")
        if kind == "call" and name:
            return any(_calls(node, name) for node in _walk(self._root))
        if kind == "import" and name:
            return any(_imports(node, name) for node in _walk(self._root))
        return any(node.type == what for node in _walk(self._root))

    def longest_function(self) -> int:
        functions = (node for node in _walk(self._root) if node.type in _FUNCTIONS)
        return max((node.end_point.row - node.start_point.row + 1 for node in functions), default=0)

    def tokens(self) -> list[str]:
        return [
            _text(node)
            for statement in self._kept
            for node in _walk(statement)
            if node.child_count == 0 and node.type not in _UNSEEN
        ]

    def needed_by(self, name: str | None) -> TreeProgram:
        nodes = self._statements()
        if self._language == "bash":
            starts = [number for number, node in enumerate(nodes) if node.type != "function_definition"]
        else:
            starts = [number for number, node in enumerate(nodes) if name and name in _bound_by(node)]
        if not starts:
            return self
        kept = reached(starts, [_bound_by(node) for node in nodes], [_spoken_in(node) for node in nodes])
        return TreeProgram(self._root, self._language, [nodes[number] for number in kept])

    def subtrees(self) -> Counter[int]:
        """Bottom-up without recursion: a node's shape is made once those of its children are there."""
        found: Counter[int] = Counter()
        shapes: list[int] = []
        pending: list[tuple[Node, int | None]] = [(self._root, None)]
        while pending:
            node, base = pending.pop()
            if base is None:
                among = self._kept if node is self._root else node.children
                children = [child for child in among if child.type not in _UNSEEN]
                pending.append((node, len(children)))
                pending.extend((child, None) for child in reversed(children))
                continue
            parts = tuple(shapes[len(shapes) - base :]) if base else (_leaf(node),)
            del shapes[len(shapes) - base :]
            shapes.append(hash((node.type, parts)))
            if node.is_named and node is not self._root:
                found[shapes[-1]] += 1
        return found

    def _statements(self) -> list[Node]:
        return [node for node in self._root.named_children if node.type not in _UNSEEN]

    def _bound(self) -> Iterator[tuple[str, Node]]:
        """Names that the top level binds, with what they are bound to."""
        for statement in self._statements():
            yield from _bindings(_exported(statement))


def _exported(statement: Node) -> Node:
    inner = statement.child_by_field_name("declaration") if statement.type == "export_statement" else None
    return inner or statement


def _bound_by(statement: Node) -> set[str]:
    """Names that it binds; of an import all that it names."""
    return (
        _spoken_in(statement)
        if _is_import(statement)
        else {name for name, _ in _bindings(_exported(statement))}
    )


def _spoken_in(statement: Node) -> set[str]:
    return {_text(node) for node in _walk(statement) if node.child_count == 0}


def _bindings(node: Node) -> Iterator[tuple[str, Node]]:
    if node.type in ("lexical_declaration", "variable_declaration"):
        for declarator in node.named_children:
            name, value = declarator.child_by_field_name("name"), declarator.child_by_field_name("value")
            if name is not None and value is not None:
                yield _text(name), value
    elif node.type == "expression_statement" and (exported := _exports(node)):
        yield exported
    elif (name := node.child_by_field_name("name")) is not None:
        yield _text(name), node
    elif node.type == "variable_assignment":
        yield _text(node.named_children[0]), node
    elif node.child_by_field_name("declarator") is not None:
        yield _declared(node), node


def _declared(node: Node) -> str:
    """C's and C++'s way: the name is inside of the declarators."""
    while (inner := node.child_by_field_name("declarator")) is not None:
        node = inner
    return _text(node)


def _exports(node: Node) -> tuple[str, Node] | None:
    """`exports.name = …`, `module.exports.name = …`, `name = …`."""
    inner = node.named_children[0] if node.named_children else None
    if inner is None or inner.type != "assignment_expression":
        return None
    left, right = inner.child_by_field_name("left"), inner.child_by_field_name("right")
    if left is None or right is None:
        return None
    return _text(left).rsplit(".", 1)[-1], right


def _arity(function: Node) -> Arity:
    parameters = function.child_by_field_name("parameters")
    if parameters is None:
        return Arity(1, 1) if function.child_by_field_name("parameter") is not None else Arity(0, 0)
    listed = [node for node in parameters.named_children if node.type not in _UNSEEN]
    rests = [node for node in listed if node.type == "rest_pattern" or _text(node).startswith("...")]
    optional = [node for node in listed if _may_be_left_out(node)]
    least = len(listed) - len(optional) - len(rests)
    return Arity(least, None if rests else len(listed))


def _may_be_left_out(node: Node) -> bool:
    return (
        node.type in ("assignment_pattern", "optional_parameter")
        or node.child_by_field_name("value") is not None
    )


def _works_out_nothing(function: Node) -> bool:
    body = function.child_by_field_name("body")
    if body is None:
        return True
    if body.type in _LITERALS:
        return not body.named_children or body.type == "string"
    if body.type != "statement_block":
        return False
    return all(_is_idle(node) for node in body.named_children if node.type not in _UNSEEN)


def _is_idle(statement: Node) -> bool:
    if statement.type != "return_statement":
        return statement.type in _IDLE
    values = [node for node in statement.named_children if node.type not in _UNSEEN]
    return all(
        (
            value.type in _LITERALS
            and all(child.type in ("string_fragment", "number") for child in value.named_children)
        )
        or _text(value) == "undefined"
        for value in values
    )


def _is_import(node: Node) -> bool:
    if node.type in ("import_statement", "import_declaration", "use_declaration", "preproc_include"):
        return True
    return node.type in ("lexical_declaration", "variable_declaration") and all(
        "require(" in _text(declarator) for declarator in node.named_children
    )


def _calls(node: Node, name: str) -> bool:
    if node.type == "command_name":
        return _text(node) == name
    if node.type not in ("call_expression", "new_expression", "call"):
        return False
    function = node.child_by_field_name("function") or node.child_by_field_name("constructor")
    if function is None:
        return False
    text = _text(function)
    return name in (text, text.rsplit(".", 1)[-1])


def _imports(node: Node, name: str) -> bool:
    if node.type == "import_statement":
        source = node.child_by_field_name("source")
    elif node.type == "call_expression" and (_calls(node, "require") or _calls(node, "import")):
        arguments = node.child_by_field_name("arguments")
        source = arguments.named_children[0] if arguments is not None and arguments.named_children else None
    else:
        return False
    return source is not None and _text(source).strip("'\"`").removeprefix("node:") == name


def _is_command(statement: Node) -> bool:
    if statement.type in ("command", "redirected_statement", "pipeline", "list"):
        names = [node for node in _walk(statement) if node.type == "command_name"]
        return bool(names) and _text(names[0]) in _COMMANDS
    return True


def _leaf(node: Node) -> str:
    return "" if node.type in _CHOSEN or not node.is_named else _text(node)


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


def _walk(root: Node, past: str = "") -> Iterator[Node]:
    """Every node in the order of the text; nodes of the type `past` are passed by, with all that is in them."""
    cursor = root.walk()
    while True:
        node = cursor.node
        is_passed = node is None or node.type == past
        if node is not None and not is_passed:
            yield node
        if (not is_passed and cursor.goto_first_child()) or cursor.goto_next_sibling():
            continue
        while cursor.goto_parent():
            if cursor.goto_next_sibling():
                break
        else:
            return
