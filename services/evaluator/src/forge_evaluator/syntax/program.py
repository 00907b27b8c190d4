"""What a scorer may ask of a program that parses, in any language. Nothing here runs it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Arity:
    """How many arguments a function takes; `most=None`: any number."""

    least: int
    most: int | None

    def takes(self, counts: list[int]) -> bool:
        return min(counts) >= self.least and (self.most is None or max(counts) <= self.most)


class Program(Protocol):
    def defines(self, name: str) -> bool:
        """Whether the top level binds `name`."""
        ...

    def names(self) -> list[str]:
        """What the top level binds, in order."""
        ...

    def arity(self, name: str) -> Arity | None:
        """None when the name is no plain function: a class, say."""
        ...

    def is_stub(self, name: str | None) -> bool:
        """Whether nothing is worked out: only constants returned, errors raised, nothing at all."""
        ...

    def is_usage(self) -> bool:
        """Asserts, calls and prints only: no solution."""
        ...

    def is_imports(self) -> bool: ...

    def is_code(self) -> bool:
        """Whether a whole answer without a fence is meant as code: prose such as `Sorry` parses in some languages too."""
        ...

    def uses(self, what: str) -> bool:
        """`call:eval`, `import:re`, or a node type of the grammar."""
        ...

    def longest_function(self) -> int:
        """In lines, without its docstring; 0 when there is none."""
        ...

    def tokens(self) -> list[str]:
        """Its words and signs in order, without comments, docstrings and spacing."""
        ...

    def needed_by(self, name: str | None) -> Program:
        """The same program without what `name` does not reach; a script without the functions that nothing calls."""
        ...

    def subtrees(self) -> Counter[int]:
        """Hashes of all subtrees' shapes, blind to the names that an author may choose."""
        ...


def reached(starts: Iterable[int], bound: Sequence[set[str]], spoken: Sequence[set[str]]) -> list[int]:
    """Statements by number, in order: `starts`, and those that bind a name which one of them speaks of."""
    found, pending = set[int](), list(starts)
    while pending:
        number = pending.pop()
        if number not in found:
            found.add(number)
            pending += [other for other, names in enumerate(bound) if names & spoken[number]]
    return sorted(found)
