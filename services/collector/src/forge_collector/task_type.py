"""What kind of task an exchange is: coding, reasoning, tools or chat. One classifier, in one place. Pure.

It reads words, not meaning, and knows English words best: code fences, diffs, stack traces and tool calls speak for
themselves in any language. It looks at a bounded part of long texts, and its time grows with that part only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from forge_common.contracts.exchange import Exchange, Message


class TaskType(StrEnum):
    CODING = "coding"
    REASONING = "reasoning"
    TOOLS = "tools"
    CHAT = "chat"


# Of a prompt, its beginning and its end are read: long ones have their question in one of the two.
HEAD, TAIL = 600, 200
# Of an answer, its beginning: words in this much of it, and signs in so much.
ANSWER_WORDS, ANSWER = 300, 1000
# What a text must weigh to be more than chat.
ENOUGH = 2.0

# Letters become small, everything but them and what `c++` and `c#` have becomes a space.
_LETTERS = bytes(
    ord(chr(byte).lower()) if chr(byte).isascii() and chr(byte).isalpha() else byte if byte in b"+#" else 32
    for byte in range(256)
)
_NUMBERS = re.compile(r"\d\D+\d")
_FENCE = "```"
# Fences that hold no program.
_PROSE = ("text", "txt", "markdown", "md", "plaintext", "output")
# Found as they stand, in prompt or answer.
_CODE_SIGNS = (
    "diff --git ", "\n@@ -", "\n+++ ", "Traceback (most recent call last)", "\n    at ", "panic: ", "error[E", "\nException in thread",
    "Segmentation fault", "npm ERR!", "undefined reference to", "</div>", "#include <", "#!/",
)  # fmt: skip
# How an answer that is nothing but code begins.
_CODE_STARTS = (
    "def ", "class ", "import ", "from ", "function ", "const ", "let ", "var ", "public ", "package ", "#include", "select ", "<?php", "<!doctype",
    "<html", "fn ", "func ", "use ", "async ", "@", "create table ", "insert into ", "update ", "docker ", "git ", "sudo ", "npm ", "pip ",
)  # fmt: skip
_CALL_TAGS = ("<tool_call>", "<function_call>", "<|tool_call", "[TOOL_CALLS]")


def _weights(groups: Mapping[float, str]) -> dict[bytes, float]:
    return {word: weight for weight, words in groups.items() for word in words.encode().split()}


_CODING = _weights(
    {
        2.0: """python javascript typescript java golang rust c++ c# php ruby kotlin swift scala haskell sql postgres postgresql mysql
            sqlite mongodb redis django flask fastapi react vue angular svelte nextjs nodejs node npm webpack pandas numpy pytorch
            tensorflow regex regexp refactor refactoring dockerfile docker kubernetes kubectl helm terraform ansible nginx bash zsh
            powershell shell cron crontab css html json yaml toml xml graphql grpc protobuf websocket oauth jwt orm sqlalchemy
            pytest junit jest mypy eslint webhook stacktrace traceback segfault nullpointerexception typeerror valueerror keyerror
            linter codebase repo github gitlab dataframe async coroutine goroutine mutex deadlock unittest git makefile
            cmake gcc clang llvm regexes hashmap linkedlist struct enum subclass decorator middleware""",
        1.0: """code function functions method methods class classes variable variables bug bugs debug debugging compile compiler
            compiles api endpoint endpoints script scripts program programming syntax algorithm recursion recursive array arrays
            loop loops string strings integer parse parser parsing query queries database schema migration migrations library
            framework backend frontend server commit branch merge rebase exception exceptions error errors test tests null
            undefined pointer pointers thread threads cache caching implement implementation import module package dependency
            deploy deployment container iterator generator lambda closure callback interface boolean tuple dict csv file files
            component hook snippet cli http https url localhost port""",
    }
)
_ASKS_FOR_CODE = frozenset(
    b"write implement fix refactor debug optimize optimise convert port add create build rewrite review test generate".split()
)
_REASONING = _weights(
    {
        2.0: """prove proof derive deduce probability theorem lemma tradeoff tradeoffs hypothesis paradox puzzle riddle syllogism
            fallacy implications calculate compute solve integral derivative equation eigenvalue permutations combinatorics logically
            counterargument infer inference contradiction bayes bayesian premise premises""",
        1.0: """why because reason reasons reasoning explain analyse analyze analysis compare comparison versus vs evaluate assess
            argue argument consider pros cons advantages disadvantages decide decision better best should strategy cause causes
            effect consequences estimate percent percentage average ratio total how many much difference
            differences step steps think logic logical conclude conclusion assume assumption assumptions therefore odds weigh
            implies justify critique interpret would if then all every long least most""",
    }
)
_IN_ANSWERS = _weights(
    {
        1.0: """therefore thus hence because consequently whereas however since conclude conclusion implies suppose assume let
            first second third finally step follows"""
    }
)
# In small letters, or at the beginning of a sentence.
_WEIGHTY = (
    "step by step",
    "trade-off",
    "root cause",
    "pros and cons",
    "what would happen",
    "how likely",
    "which is better",
    "does it follow",
)


def classify(exchange: Exchange) -> TaskType:
    """TOOLS when tools were called for this answer, however much code it has; else by what prompt and answer look like."""
    if _calls_tools(exchange):
        return TaskType.TOOLS
    prompt = next((m.text() for m in reversed(exchange.messages) if m.role == "user"), "")
    answer = exchange.answer.text()
    read, opening = _window(prompt), answer[:ANSWER]
    words = _words(read)
    coding, reasoning = _coding(words, read, opening), _reasoning(words, read, opening)
    if max(coding, reasoning) < ENOUGH:
        return TaskType.CHAT
    return TaskType.CODING if coding >= reasoning else TaskType.REASONING


def labelled(exchange: Exchange, document: str) -> tuple[str, str]:
    """The task type, which an exchange that has one keeps, and the exchange's JSON with it, which is not written anew.

    Of a field that comes twice, the last holds.
    """
    if exchange.task_type:
        return exchange.task_type, document
    known = classify(exchange).value
    return known, f'{document.rstrip().removesuffix("}")},"task_type":"{known}"}}'


def _calls_tools(exchange: Exchange) -> bool:
    if _has_call(exchange.answer) or _has_any(exchange.answer.text()[:ANSWER], _CALL_TAGS):
        return True
    for message in reversed(exchange.messages):
        if message.role == "tool" or (message.role == "assistant" and _has_call(message)):
            return True
        if message.role == "user" and not _has_result(message):
            return False
    return False


def _has_call(message: Message) -> bool:
    return bool(message.tool_calls) or _has_part(message, ("tool_use", "tool_call", "function_call"))


def _has_result(message: Message) -> bool:
    return _has_part(message, ("tool_result", "function_call_output"))


def _has_part(message: Message, kinds: tuple[str, ...]) -> bool:
    return isinstance(message.content, tuple) and any(part.get("type") in kinds for part in message.content)


def _coding(words: set[bytes], prompt: str, answer: str) -> float:
    score = _sum(words, _CODING, most=5)
    if score and words & _ASKS_FOR_CODE:
        score += 1
    score += 2 * _has_program(prompt) + 2 * _has_program(answer)
    score += 2 * _has_any(prompt, _CODE_SIGNS) + 2 * _has_any(answer, _CODE_SIGNS)
    return score + answer.lstrip()[:16].lower().startswith(_CODE_STARTS)


def _reasoning(words: set[bytes], prompt: str, answer: str) -> float:
    score = _sum(words, _REASONING, most=5)
    score += 2 * _has_any(prompt, _WEIGHTY)
    # Sums in words: several numbers, and a question about them.
    score += "?" in prompt and _NUMBERS.search(prompt) is not None
    return score + 0.5 * _sum(_words(answer[:ANSWER_WORDS]), _IN_ANSWERS, most=4)


def _words(text: str) -> set[bytes]:
    # As bytes and by a table: a third of what a regular expression takes.
    return set(text.encode("ascii", "replace").translate(_LETTERS).split())


def _sum(words: set[bytes], weights: dict[bytes, float], *, most: float) -> float:
    return min(most, sum([weights[word] for word in words & weights.keys()]))


def _has_any(text: str, signs: tuple[str, ...]) -> bool:
    # One search each is quicker than one regular expression of all: a substring is found at the speed of memory.
    for sign in signs:  # noqa: SIM110  a generator costs more than the searches
        if sign in text:
            return True
    return False


def _has_program(text: str) -> bool:
    """Whether a fence opens that says no language or a programming one."""
    _, fence, rest = text.partition(_FENCE)
    return bool(fence) and not rest[:12].lower().startswith(_PROSE)


def _window(text: str) -> str:
    return text if len(text) <= HEAD + TAIL else f"{text[:HEAD]}\n{text[-TAIL:]}"
