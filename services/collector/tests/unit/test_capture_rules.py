"""Which classes are redacted for which domain, with and without a registry."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from forge_collector.capture_rules import CaptureRulesByDomain
from forge_collector.redact import STRICTEST
from forge_common import domains
from forge_common.contracts.domain import CaptureRules, DomainDocument, RedactionClass


def document(domain: str, *classes: str) -> DomainDocument:
    return DomainDocument.model_validate(
        {
            "id": domain,
            "name": domain,
            "base_model": "b",
            "model_prefix": domain,
            "capture": {"redact": classes},
        }
    )


@pytest.mark.parametrize("domain", ["healthcare", "legal"])
def test_healthcare_and_legal_are_strict_as_shipped(domain: str, tmp_path: Path) -> None:
    assert domains.load(domain).capture.classes() == STRICTEST
    assert CaptureRulesByDomain(tmp_path / "rules")(domain) == STRICTEST


def test_other_domains_keep_names_but_nothing_else_that_is_personal(tmp_path: Path) -> None:
    assert CaptureRulesByDomain(tmp_path / "rules")("coding") == STRICTEST - {RedactionClass.PERSON}


def test_a_domain_that_nobody_knows_is_redacted_as_strictly_as_can_be(tmp_path: Path) -> None:
    assert CaptureRulesByDomain(tmp_path / "rules")("mine") == STRICTEST


def test_what_the_registry_says_counts_and_outlives_it(tmp_path: Path) -> None:
    CaptureRulesByDomain(tmp_path / "rules").take([document("mine", "contact"), document("coding")])

    again = CaptureRulesByDomain(tmp_path / "rules")

    assert again("mine") == {RedactionClass.SECRETS, RedactionClass.CONTACT}
    assert again("coding") == {RedactionClass.SECRETS}
    assert again("legal") == STRICTEST


@pytest.mark.parametrize(
    "content", [b"", b'{"mine": {"red', b'{"mine": {"redact": ["unheard-of"]}}', b"\xff"]
)
def test_a_torn_memory_is_as_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "rules").write_bytes(content)

    assert CaptureRulesByDomain(tmp_path / "rules")("mine") == STRICTEST


def test_secrets_cannot_be_switched_off() -> None:
    assert CaptureRules(redact=()).classes() == {RedactionClass.SECRETS}


def test_a_class_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ValidationError, match="'contact', 'financial', 'identity', 'network'"):
        document("mine", "phone")
