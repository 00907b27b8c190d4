from __future__ import annotations

import pytest

from forge_common.contracts.exchange import Message
from forge_common.contracts.stages import ParityProbe
from forge_common.engine import Answer
from forge_common.parity import agrees, count_equal, longest


def probe(answer):
    tokens = tuple(range(len(answer.split())))
    return ParityProbe(messages=(Message(role="user", content="2 + 2?"),), text=answer, tokens=tokens)


class Parrot:
    """Says the same words for ever, up to the limit it is given."""

    def __init__(self, words: str):
        self.words = words.split()
        self.options = []

    def chat(self, model, messages, *, options):
        self.options.append(options)
        said = " ".join(self.words[: options["num_predict"]])
        return Answer(said, "stop", 1, len(said.split()), 0.0)


def test_the_same_text_agrees():
    assert agrees(Parrot("4"), "m", probe("4"), cut_at=48)


def test_another_text_does_not():
    assert not agrees(Parrot("5"), "m", probe("4"), cut_at=48)


def test_a_model_that_runs_on_past_the_end_does_not_agree():
    assert not agrees(Parrot("four and on and on"), "m", probe("four"), cut_at=48)


def test_an_answer_that_the_reference_cut_off_is_asked_for_as_far_as_it_goes():
    assert agrees(Parrot("one two three four"), "m", probe("one two"), cut_at=2)


def test_a_character_that_was_cut_in_half_is_not_held_against_the_engine():
    assert agrees(Parrot("caf"), "m", probe("caf\ufffd"), cut_at=1)


def test_an_empty_answer_agrees_with_an_empty_one():
    assert agrees(Parrot(""), "m", probe(""), cut_at=48)


def test_the_engine_is_asked_greedily_without_penalties():
    parrot = Parrot("4")

    agrees(parrot, "m", probe("4"), cut_at=48)

    assert parrot.options == [{"temperature": 0.0, "repeat_penalty": 1.0, "seed": 0, "num_predict": 2}]


def test_agreeing_probes_are_counted():
    probes = [probe("4"), probe("5"), probe("4")]

    assert count_equal(Parrot("4"), "m", probes) == 2


@pytest.mark.parametrize(("answers", "length"), [([], 0), (["a", "a b c"], 3)])
def test_the_longest_answer_is_where_the_reference_was_cut(answers, length):
    assert longest([probe(answer) for answer in answers]) == length
