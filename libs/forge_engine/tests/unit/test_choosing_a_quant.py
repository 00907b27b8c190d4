"""Which quantisation an export writes, where llama.cpp is there and where it is not."""

from __future__ import annotations

import sys

import pytest

import forge_engine
from forge_common.contracts.base import ArtifactRef
from forge_common.contracts.domain import DomainDocument
from forge_common.contracts.stages import BaseModelRef, ExportRequest
from forge_common.errors import Invalid
from forge_common.weights import quants
from forge_common.weights.export import choose_quant
from forge_engine.kquants import QuantiserMissing


def make_request(*, quant="q4_k_m", mode="adapter", without="refuse", base_gguf=None, adapter=None):
    deploy = {"mode": mode, "quant": quant, "without_quantiser": without}
    domain = DomainDocument.model_validate(
        {"id": "d", "name": "D", "base_model": "b", "model_prefix": "d", "deploy": deploy}
    )
    return ExportRequest(
        domain=domain, base=BaseModelRef(name="b"), base_gguf=base_gguf, adapter=adapter and "a" * 64
    )


@pytest.fixture
def nothing_quantises(monkeypatch):
    monkeypatch.setattr(quants, "is_possible", lambda quant: quant in ("f16", "q8_0"))


def test_what_the_domain_asks_for_is_written_where_it_can_be():
    assert choose_quant(make_request()) == ("q4_k_m", None)


@pytest.mark.usefixtures("nothing_quantises")
def test_a_domain_that_allows_q8_0_instead_gets_it_with_a_notice():
    quant, notice = choose_quant(make_request(without="q8_0"))

    assert quant == "q8_0"
    assert "q4_k_m" in notice


@pytest.mark.usefixtures("nothing_quantises")
def test_a_domain_that_does_not_is_refused_with_what_would_help():
    with pytest.raises(QuantiserMissing) as refused:
        choose_quant(make_request())

    assert "deploy.without_quantiser" in refused.value.fix


@pytest.mark.usefixtures("nothing_quantises")
def test_an_adapter_on_a_base_that_is_written_already_needs_no_quantiser():
    known = ArtifactRef(sha256="b" * 64, size=1, kind="gguf")

    assert choose_quant(make_request(base_gguf=known, adapter=True)) == ("q4_k_m", None)
    with pytest.raises(QuantiserMissing):
        choose_quant(make_request(base_gguf=known, adapter=True, mode="fused"))


def test_without_the_engines_library_a_k_quant_is_refused_and_8_bits_are_not(monkeypatch):
    monkeypatch.setitem(sys.modules, "forge_engine.kquants", None)
    monkeypatch.delattr(forge_engine, "kquants", raising=False)

    with pytest.raises(Invalid, match="engine's library") as refused:
        quants.is_possible("q4_k_m")

    assert "q8_0" in refused.value.fix
    assert quants.is_possible("q8_0")
