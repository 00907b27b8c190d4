"""Choosing probes and judging parity."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import get_args

import pytest

from forge_common.contracts.dataset import DatasetRow
from forge_common.contracts.domain import DomainDocument, Quant
from forge_common.contracts.exchange import Message
from forge_common.contracts.stages import BaseModelRef, ExportRequest
from forge_common.queue.stage import Beat
from forge_common.testing.tiny_model import write_tiny_model
from forge_common.weights.base_model import DiskFull
from forge_common.weights.export import (
    DATASET_PROBES,
    GENERIC_PROMPTS,
    TOLERANCES,
    ExportUnfaithful,
    Parity,
    compare,
    export,
    judge,
    probe_prompts,
)
from forge_common.weights.tokenizer import ChatTokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return ChatTokenizer(write_tiny_model(tmp_path_factory.mktemp("tiny")))


def make_domain(system_prompt=""):
    return DomainDocument(id="d", name="D", base_model="b", model_prefix="d", system_prompt=system_prompt)


def make_row(text, **message):
    return DatasetRow(
        messages=(Message(role="user", content=text, **message), Message(role="assistant", content="a")),
        source="e",
    )


def asked(prompts):
    return [prompt[-1].content for prompt in prompts]


def test_probes_are_spread_evenly_over_the_validation_rows(tokenizer):
    prompts = probe_prompts(make_domain(), [make_row(f"q{i}") for i in range(36)], tokenizer)

    assert asked(prompts) == [*GENERIC_PROMPTS, *(f"q{i}" for i in range(0, 36, 3))]
    assert len(prompts) == len(GENERIC_PROMPTS) + DATASET_PROBES


def test_without_a_dataset_the_general_probes_remain(tokenizer):
    assert asked(probe_prompts(make_domain(), [], tokenizer)) == list(GENERIC_PROMPTS)


def test_probes_carry_the_domains_system_prompt(tokenizer):
    prompts = probe_prompts(make_domain("be brief"), [make_row("q")], tokenizer)

    assert all(prompt[0] == Message(role="system", content="be brief") for prompt in prompts)


def test_long_questions_and_tool_calls_are_no_probes(tokenizer):
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    rows = [make_row("word " * 3000), make_row("call", tool_calls=(call,)), make_row("plain")]

    assert asked(probe_prompts(make_domain(), rows, tokenizer))[len(GENERIC_PROMPTS) :] == ["plain"]


def test_answers_are_compared_token_by_token():
    parity = compare([(1, 2, 3), (4, 5, 6), (7,), ()], [(1, 2, 3), (4, 5, 9), (7, 8), ()])

    assert parity == Parity(equal=2, asked=4, shortest_common=1, typical_common=2)


@pytest.mark.parametrize(
    ("parity", "quant"),
    [
        (Parity(equal=16, asked=16, shortest_common=48, typical_common=48), "f16"),
        (Parity(equal=15, asked=16, shortest_common=20, typical_common=48), "f16"),
        (Parity(equal=9, asked=16, shortest_common=3, typical_common=48), "q8_0"),
        (Parity(equal=4, asked=16, shortest_common=0, typical_common=9), "q4_k_m"),
    ],
)
def test_equal_answers_and_late_differences_pass(parity, quant):
    judge(parity, quant, "adapter")


@pytest.mark.parametrize(
    ("parity", "quant"),
    [
        (Parity(equal=14, asked=16, shortest_common=40, typical_common=48), "f16"),
        (Parity(equal=15, asked=16, shortest_common=0, typical_common=48), "f16"),
        (Parity(equal=7, asked=16, shortest_common=40, typical_common=42), "q8_0"),
        (Parity(equal=4, asked=16, shortest_common=0, typical_common=1), "q4_k_m"),
        (Parity(equal=0, asked=16, shortest_common=20, typical_common=30), "q4_k_m"),
        (Parity(equal=0, asked=0, shortest_common=48, typical_common=48), "f16"),
    ],
)
def test_too_many_or_early_differences_are_refused(parity, quant):
    with pytest.raises(ExportUnfaithful, match="adapter"):
        judge(parity, quant, "adapter")


def test_every_quantisation_has_a_tolerance_and_fewer_bits_never_a_tighter_one():
    order = get_args(Quant)

    assert set(TOLERANCES) == set(order)
    for finer, coarser in itertools.pairwise(order):
        assert all(a >= b for a, b in zip(TOLERANCES[finer], TOLERANCES[coarser], strict=True))


def test_an_export_that_the_disk_has_no_room_for_is_refused_before_it_begins(tmp_path, monkeypatch):
    base = write_tiny_model(tmp_path / "base")
    monkeypatch.setattr("forge_common.weights.export.resolve_base", lambda *_: base)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1 << 30))
    request = ExportRequest(domain=make_domain(), base=BaseModelRef(name="tiny"))

    with pytest.raises(DiskFull, match="the export of tiny needs") as caught:
        export(request, None, tmp_path / "work", Beat(), None)

    assert "FORGE_HOME" in str(caught.value.fix)
