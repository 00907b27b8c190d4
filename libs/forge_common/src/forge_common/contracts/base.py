"""What every contract has in common: frozen, strict about unknown fields, JSON only."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, NewType
from uuid import uuid4

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

RunId = NewType("RunId", str)
StageId = NewType("StageId", str)
ExchangeId = NewType("ExchangeId", str)

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        msg = "a time must carry its zone"
        raise ValueError(msg)
    return moment.astimezone(UTC)


Moment = Annotated[datetime, AfterValidator(_aware)]


class Contract(BaseModel):
    """A payload that crosses a service boundary."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")


class Payload(Contract):
    """A contract that is stored or queued, and so may be read by another release than wrote it."""

    schema_version: int = 1


class ArtifactRef(Contract):
    """Content in the artifact store. `kind` says what the bytes are, e.g. `dataset`, `adapter`, `gguf`, `report`."""

    sha256: Sha256
    size: int = Field(ge=0)
    kind: str


class BundleFile(Contract):
    path: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$")
    ]
    sha256: Sha256
    size: int = Field(ge=0)


class Bundle(Payload):
    """Several files under one hash: the artifact is this document, the files are artifacts of their own."""

    kind: str
    files: tuple[BundleFile, ...]

    def file(self, path: str) -> BundleFile:
        """Raises KeyError when the bundle has no such file."""
        for file in self.files:
            if file.path == path:
                return file
        raise KeyError(path)


def new_id(prefix: str) -> str:
    """A random id that says what it names: `run_3f2a…`."""
    return f"{prefix}_{uuid4().hex[:20]}"


def utc_now() -> datetime:
    return datetime.now(UTC)
