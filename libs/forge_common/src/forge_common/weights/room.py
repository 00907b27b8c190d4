"""When memory runs out in training: fewer tokens at once, then shorter rows, then the truth about what would fit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from forge_common.errors import ForgeError
from forge_common.weights.halvings import Halvings

T = TypeVar("T")

# Moments of a training: before its steps there are some, each step has two, to learn and to judge.
FIRST, BEFORE, LAST = -3, -1, 2**62
# Shorter conversations teach too little to be worth a training.
SHORTEST_ROW = 128


class OutOfMemory(ForgeError):
    """Not even short rows, one at a time, fit into memory."""


class RowsTooLong(ForgeError):
    """A single row does not fit into memory; `longest` is its length in tokens."""

    def __init__(self, longest: int) -> None:
        super().__init__(f"a row of {longest} tokens does not fit into memory")
        self.longest = longest


def learning(step: int) -> int:
    """The moment at which step `step` learns; `step` counts from 0. At the next one it is judged."""
    return 2 * step


class Room(ABC):
    """How many tokens go through the model at once: halved each time memory runs out, never raised again.

    Gradients are sums over rows, so a batch in smaller pieces is the same step. `halvings` are those of before a kill.
    """

    def __init__(self, max_tokens: int, say: Callable[[str], None], halvings: Halvings | None = None) -> None:
        self.max_tokens, self._say, self._halvings = max_tokens, say, halvings
        self.moment = FIRST

    def at(self, moment: int) -> None:
        """What is worked on from here: moments grow, and are the same ones when a killed training goes on."""
        self.moment = moment
        known = self._halvings.until(moment) if self._halvings else None
        self.max_tokens = min(self.max_tokens, known or self.max_tokens)

    def fit(self, longest: int, work: Callable[[int], T], undo: Callable[[], None]) -> T:
        """`work` with as many tokens as fit; `undo` removes what a failed try left. Raises RowsTooLong."""
        while True:
            try:
                return work(self.max_tokens)
            except (RuntimeError, MemoryError) as error:
                if not self.is_out_of_memory(error):
                    raise
            # Outside of the handler, which keeps the failed pass and all of its tensors alive.
            undo()
            self.release()
            self.halve(longest)

    def halve(self, longest: int) -> None:
        """Raises RowsTooLong when a single row is all that is left to halve."""
        if self.max_tokens <= longest:
            raise RowsTooLong(longest)
        self.max_tokens = max(longest, self.max_tokens // 2)
        if self._halvings:
            self._halvings.add(self.moment, self.max_tokens)
        self._say(f"memory ran out: {self.max_tokens} tokens at once from here on")

    @abstractmethod
    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether the framework says by `error` that memory ran out."""

    @abstractmethod
    def release(self) -> None:
        """Give back what the framework keeps for later."""


def shorter(longest: int, limit: int) -> int:
    """The next row length to try, below both. Raises OutOfMemory when it would be too short."""
    following = min(longest, limit) // 2
    if following < SHORTEST_ROW:
        raise OutOfMemory(
            f"memory ran out even for a single row of {min(longest, limit)} tokens",
            fix="train with method qlora, fewer num_layers or a smaller base model, or on a card with more memory; "
            "what else uses the card (a served model does) can be ended meanwhile",
        )
    return following
