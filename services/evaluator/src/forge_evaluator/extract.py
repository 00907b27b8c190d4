"""Finds the code in an answer, in linear time. Never runs it, never repairs it.

Rules: escape sequences and `<think>` are dropped; CommonMark fences; of the blocks that parse, the last that defines the
entry point, else all that parse together, else the longest; without fences the whole text if it is code.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

VERSION = "1"

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[ \t]*([^\n`]*)$")
_THINK_OPEN, _THINK_CLOSE = "<think>", "</think>"
_NOT_PYTHON = frozenset(
    [
        "text",
        "txt",
        "output",
        "console",
        "shell",
        "sh",
        "bash",
        "zsh",
        "json",
        "yaml",
        "toml",
        "xml",
        "html",
        "css",
        "diff",
        "markdown",
        "md",
        "javascript",
        "js",
        "typescript",
        "ts",
        "sql",
        "c",
        "cpp",
        "java",
        "go",
        "rust",
    ]
)
# ast.parse needs stack and memory in proportion; nobody's honest answer to a task is longer.
_MAX_PARSED = 200_000
_MAX_BLOCKS = 100


@dataclass(frozen=True, slots=True)
class Block:
    """The inside of one fence. `is_open`: the answer ended before the fence did."""

    language: str
    text: str
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Extraction:
    """`code=None`: there is none. `is_truncated`: the answer broke off inside the code."""

    code: str | None
    is_truncated: bool = False


def extract(answer: str, entry_point: str) -> Extraction:
    text = strip(answer)
    blocks = fences(text)
    python = [block for block in blocks if block.language not in _NOT_PYTHON and block.text.strip()][
        -_MAX_BLOCKS:
    ]
    is_truncated = bool(blocks) and blocks[-1].is_open
    if not blocks:
        return Extraction(text.strip("\n") if _is_code(text) else None)
    if not python:
        return Extraction(None, is_truncated)
    return Extraction(_choose(python, entry_point), is_truncated)


def strip(answer: str) -> str:
    """The answer without terminal escapes and thinking; an unclosed `<think>` hides all that follows it."""
    text = _ESCAPES.sub("", answer).replace("\r\n", "\n")
    kept, position = [], 0
    while (start := text.find(_THINK_OPEN, position)) >= 0:
        kept.append(text[position:start])
        end = text.find(_THINK_CLOSE, start)
        position = len(text) if end < 0 else end + len(_THINK_CLOSE)
    kept.append(text[position:])
    return "".join(kept)


def fences(text: str) -> list[Block]:
    """All fenced blocks in order; a fence is closed by one of its own kind that is at least as long."""
    blocks: list[Block] = []
    opened: tuple[str, str] | None = None
    lines: list[str] = []
    for line in text.split("\n"):
        found = _FENCE.match(line)
        if opened is None:
            if found:
                opened, lines = (found[1], _language(found[2])), []
        elif found and _closes(found, opened[0]):
            blocks.append(Block(opened[1], "\n".join(lines)))
            opened = None
        else:
            lines.append(line)
    if opened is not None:
        blocks.append(Block(opened[1], "\n".join(lines), is_open=True))
    return blocks


def _language(info: str) -> str:
    words = info.split()
    return words[0].strip("{}.").lower() if words else ""


def _closes(found: re.Match[str], opening: str) -> bool:
    return found[1][0] == opening[0] and len(found[1]) >= len(opening) and not found[2].strip()


def _choose(blocks: list[Block], entry_point: str) -> str:
    trees = [(block.text, parse(block.text)) for block in blocks]
    parsed = [(text, tree) for text, tree in trees if tree is not None and not _only_checks(tree)]
    defining = [text for text, tree in parsed if defines(tree, entry_point)]
    if defining:
        return _with_imports(defining[-1], parsed)
    if parsed:
        return "\n\n".join(text for text, _ in parsed)
    return max((text for text, _ in trees), key=len)


def _with_imports(code: str, parsed: list[tuple[str, ast.Module]]) -> str:
    """Blocks that come before and only import are needed by the block that was chosen."""
    before = []
    for text, tree in parsed:
        if text == code:
            break
        if all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in tree.body):
            before.append(text)
    return "\n".join([*before, code])


def parse(code: str) -> ast.Module | None:
    if len(code) > _MAX_PARSED:
        return None
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def defines(tree: ast.Module, name: str) -> bool:
    """Whether the module's top level binds `name`."""
    return any(_binds(node, name) for node in tree.body)


def _binds(node: ast.stmt, name: str) -> bool:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return node.name == name
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
    return False


def _only_checks(tree: ast.Module) -> bool:
    """Asserts, calls and comments only: usage, not a solution."""
    return all(isinstance(node, (ast.Assert, ast.Expr)) for node in tree.body)


def _is_code(text: str) -> bool:
    """Whole answers without a fence: prose such as `Sorry` parses too, so a definition is asked for."""
    tree = parse(text.strip("\n"))
    return tree is not None and any(
        isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign))
        for node in tree.body
    )
