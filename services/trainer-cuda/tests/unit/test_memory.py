"""What is done when memory runs out, by the errors that torch raises."""

from __future__ import annotations

import pytest
import torch

from forge_common.weights.room import OutOfMemory, RowsTooLong, shorter
from forge_trainer_cuda.memory import Room

CPU = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried ..."
)


class Card:
    """Work that fits up to so many tokens."""

    def __init__(self, fits: int, error: Exception) -> None:
        self.fits, self.error = fits, error
        self.tried: list[int] = []
        self.undone = 0

    def work(self, max_tokens: int) -> str:
        self.tried.append(max_tokens)
        if max_tokens > self.fits:
            raise self.error
        return "done"

    def undo(self) -> None:
        self.undone += 1


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError(CPU), MemoryError()]
)
def test_tokens_at_once_are_halved_until_they_fit_and_stay_so(error: Exception) -> None:
    said: list[str] = []
    room, card = Room(8000, said.append), Card(2500, error)

    assert room.fit(100, card.work, card.undo) == "done"
    assert room.fit(100, card.work, card.undo) == "done"

    assert card.tried == [8000, 4000, 2000, 2000]
    assert (card.undone, len(said)) == (2, 2)


def test_a_row_is_tried_by_itself_before_it_is_called_too_long() -> None:
    room, card = Room(8000, lambda _: None), Card(2500, MemoryError())

    with pytest.raises(RowsTooLong) as caught:
        room.fit(3000, card.work, card.undo)

    assert card.tried == [8000, 4000, 3000]
    assert caught.value.longest == 3000


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    card = Card(0, RuntimeError("shapes do not match"))

    with pytest.raises(RuntimeError, match="shapes"):
        Room(8000, lambda _: None).fit(100, card.work, card.undo)

    assert card.tried == [8000]


def test_rows_are_halved_from_what_was_tried_down_to_a_length_that_still_teaches() -> None:
    assert shorter(3000, 4096) == 1500
    assert shorter(5000, 4096) == 2048

    with pytest.raises(OutOfMemory, match="single row of 200 tokens") as caught:
        shorter(200, 4096)
    assert "qlora" in str(caught.value.fix)
