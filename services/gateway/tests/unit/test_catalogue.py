from __future__ import annotations

import pytest

from forge_common.contracts.runs import Pointer, Pointers
from forge_gateway.catalogue import (
    Catalogue,
    DomainNotFound,
    ModelNotFound,
    ModelNotGiven,
    ModelNotReady,
    ModelOfAnotherDomain,
)

CODING = Pointer(domain="coding", prefix="engie-coder", live=3, model="engie-coder:v3")
LEGAL = Pointer(domain="legal", prefix="engie-legal", live=0, model="engie-legal:v0")
NEW = Pointer(domain="new", prefix="engie-new", live=None, model=None)


def catalogue(*pointers: Pointer) -> Catalogue:
    return Catalogue(Pointers(revision=7, pointers=pointers))


ALL = catalogue(CODING, LEGAL, NEW)


@pytest.mark.parametrize(
    ("model", "domain", "expected"),
    [
        ("engie-coder", None, "engie-coder:v3"),
        ("engie-coder:latest", None, "engie-coder:v3"),
        ("engie-coder:v3", None, "engie-coder:v3"),
        ("engie-coder:v12", None, "engie-coder:v12"),
        (None, "legal", "engie-legal:v0"),
        ("engie-legal", "legal", "engie-legal:v0"),
        ("engie-legal:v5", "legal", "engie-legal:v5"),
        ("gpt-4o", "legal", "engie-legal:v0"),
    ],
)
def test_a_request_means_this_model(model, domain, expected):
    assert ALL.resolve(model, domain) == expected


@pytest.mark.parametrize(
    "model",
    [
        "gpt-4o",
        "llama3:latest",
        "engie-coder:v03",
        "engie-coder:v-1",
        "engie-coder:V3",
        "engie-coder:v3:latest",
        "engie-coder:other",
        "library/engie-coder",
        "engie-coder:v99999999999999",
        "engie-coder:latest:latest",
    ],
)
def test_no_other_model_of_the_engine_can_be_named(model):
    with pytest.raises(ModelNotFound, match="engie-coder:latest, engie-legal:latest"):
        ALL.resolve(model)


def test_the_only_domain_is_meant_when_nothing_is_named():
    assert catalogue(CODING).resolve(None) == "engie-coder:v3"


def test_nothing_named_with_several_domains_is_refused():
    with pytest.raises(ModelNotGiven, match="engie-legal:latest"):
        ALL.resolve(None)


def test_a_model_of_another_domain_is_refused():
    with pytest.raises(ModelOfAnotherDomain):
        ALL.resolve("engie-coder", "legal")


def test_an_unknown_domain_is_refused_by_naming_the_known_ones():
    with pytest.raises(DomainNotFound, match="coding, legal, new"):
        ALL.resolve(None, "medicine")


def test_a_domain_without_a_live_version_is_not_ready():
    with pytest.raises(ModelNotReady):
        ALL.resolve("engie-new")


def test_without_any_pointer_the_error_says_what_to_do():
    with pytest.raises(ModelNotFound, match="forge status"):
        catalogue().resolve("engie-coder")


def test_a_models_sampling_is_its_domains():
    warm = CODING.model_copy(update={"parameters": {"temperature": 0.3, "top_p": 0.8, "num_ctx": 4096}})
    known = catalogue(warm, LEGAL)

    assert known.sampling("engie-coder:v3") == known.sampling("engie-coder:v1")
    assert known.sampling("engie-coder:v1") == {"temperature": 0.3, "top_p": 0.8}
    assert known.sampling("engie-legal:v0") == {}


def test_only_versions_of_known_domains_are_owned():
    names = ["engie-coder:v1", "engie-new:v0", "engie-coder:latest", "llama3:v1", "engie-coder"]

    assert [name for name in names if ALL.owns(name)] == ["engie-coder:v1", "engie-new:v0"]
