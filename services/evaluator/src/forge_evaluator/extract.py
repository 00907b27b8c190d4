"""Finds the code in an answer, in linear time. Never runs it, never repairs it.

Rules: escape sequences and `<think>` are dropped; CommonMark fences; of the blocks that parse, the last that defines the
entry point, else all that parse together, else the longest; without fences the whole text if it is code. A query is the
last block that parses; a script the last with a `#!` line, else the longest. A body alone completes the prompt's function.
"""

from __future__ import annotations

from dataclasses import dataclass

from forge_evaluator.fences import Block, fences, strip
from forge_evaluator.syntax import MAX_PARSED, Program, is_of, parse

__all__ = ["VERSION", "Block", "Extraction", "extract", "fences", "strip"]

VERSION = "2"
# Beyond this an answer's earlier blocks are not looked at: what is meant stands at the end.
_MAX_LOOKED_AT = 2 * MAX_PARSED
_MAX_BLOCKS = 50


@dataclass(frozen=True, slots=True)
class Extraction:
    """`code=None`: there is none. `is_truncated`: the answer broke off inside the code."""

    code: str | None
    is_truncated: bool = False


def extract(
    answer: str, entry_point: str | None = None, language: str = "python", *, prompt: str = ""
) -> Extraction:
    """`prompt`: whose last function a bare body completes, as HumanEval's answers do."""
    text = strip(answer)
    blocks = fences(text)
    is_truncated = bool(blocks) and blocks[-1].is_open
    ours = _recent([block.text for block in blocks if is_of(block.language, language) and block.text.strip()])
    found = _choose(ours, entry_point, language) if ours else None
    if found is not None and entry_point is not None and found.defines:
        return Extraction(found.code, is_truncated)
    if entry_point is not None and (
        completed := _completed(ours or ([] if blocks else [text]), prompt, entry_point, language)
    ):
        return Extraction(completed, is_truncated)
    if found is not None:
        return Extraction(found.code, is_truncated)
    return Extraction(None if blocks else _whole(text.strip("\n"), language), is_truncated)


@dataclass(frozen=True, slots=True)
class _Found:
    code: str
    defines: bool = False


def _recent(texts: list[str]) -> list[str]:
    """The last blocks, as many as may be parsed."""
    kept: list[str] = []
    left = _MAX_LOOKED_AT
    for text in reversed(texts[-_MAX_BLOCKS:]):
        left -= len(text)
        if left < 0 and kept:
            break
        kept.append(text)
    return kept[::-1]


def _choose(texts: list[str], entry_point: str | None, language: str) -> _Found:
    parsed = [(text, program) for text in texts if (program := parse(text, language)) is not None]
    if language == "bash":
        return _Found(_script([text for text, _ in parsed]) or max(texts, key=len))
    if language == "sql":
        return _Found(parsed[-1][0] if parsed else texts[-1])
    return _defining(parsed, entry_point) or _Found(_joined(parsed) or max(texts, key=len))


def _defining(parsed: list[tuple[str, Program]], entry_point: str | None) -> _Found | None:
    if entry_point is None:
        return None
    defining = [number for number, (_, program) in enumerate(parsed) if program.defines(entry_point)]
    if not defining:
        return None
    # Blocks that come before and only import are needed by the block that was chosen.
    before = [text for text, program in parsed[: defining[-1]] if program.is_imports()]
    return _Found("\n".join([*before, parsed[defining[-1]][0]]), defines=True)


def _joined(parsed: list[tuple[str, Program]]) -> str:
    return "\n\n".join(text for text, program in parsed if not program.is_usage())


def _script(texts: list[str]) -> str | None:
    starting = [text for text in texts if text.lstrip().startswith("#!")]
    return starting[-1] if starting else max(texts, key=len, default=None)


def _whole(text: str, language: str) -> str | None:
    program = parse(text, language)
    return text if program is not None and program.is_code() else None


def _completed(bodies: list[str], prompt: str, entry_point: str, language: str) -> str | None:
    """The prompt's code and a body, where together they define the entry point and the body says something."""
    if not prompt or entry_point not in prompt:
        return None
    start = _prompt_code(prompt, language)
    alone = parse(start, language)
    # Code that is to be mended is no beginning: whatever stood behind it would pass for the answer.
    if alone is not None and alone.defines(entry_point) and not alone.is_stub(entry_point):
        return None
    for body in reversed(bodies):
        program = parse(f"{start}\n{body}", language)
        if program is not None and program.defines(entry_point):
            return None if alone is not None and alone.tokens() == program.tokens() else f"{start}\n{body}"
    return None


def _prompt_code(prompt: str, language: str) -> str:
    blocks = [block.text for block in fences(strip(prompt)) if is_of(block.language, language)]
    return (blocks[-1] if blocks else prompt).rstrip()
