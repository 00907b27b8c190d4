"""The shipped domain documents. A domain is data: adding one adds a file here, or none at all (`forge domain add`)."""

from __future__ import annotations

from importlib.resources import files

from forge_common.contracts.domain import DomainDocument
from forge_common.errors import NotFound


class DomainUnknown(NotFound):
    """No domain has that id."""


def shipped() -> tuple[str, ...]:
    """Ids of the shipped domains, sorted."""
    return tuple(
        sorted(f.name.removesuffix(".json") for f in files(__name__).iterdir() if f.name.endswith(".json"))
    )


def load(domain: str) -> DomainDocument:
    """One shipped document. Raises DomainUnknown, naming what there is."""
    if domain not in shipped():
        raise DomainUnknown(f"no shipped domain {domain!r}", fix=f"one of: {', '.join(shipped())}")
    return DomainDocument.model_validate_json((files(__name__) / f"{domain}.json").read_bytes())
