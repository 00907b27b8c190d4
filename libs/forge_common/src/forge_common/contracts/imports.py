"""An import: records of other systems, sent in batches with the position that they begin at. Client and collector share it.

The client cuts a file into records and knows nothing of what they mean; the collector reads them and never sees a file.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from forge_common.contracts.base import Contract, Slug

# Longer records are refused: no model is trained on a conversation of millions of tokens.
MAX_RECORD_BYTES = 16 * 1024 * 1024
MOST_RECORDS = 1000

ImportId = Annotated[str, StringConstraints(pattern=r"^imp_[0-9a-f]{16,64}$")]


class ImportFormat(StrEnum):
    """Whose records they are."""

    FORGE = "forge"
    OPENAI = "openai"
    SHAREGPT = "sharegpt"
    LANGFUSE = "langfuse"
    HELICONE = "helicone"
    OPEN_WEBUI = "open-webui"
    PLAIN = "plain"


class Record(Contract):
    """`at` is its number in its file, a line's where records are lines. `refused` says why there is no `text` to read."""

    at: int = Field(ge=1)
    text: str | None = None
    refused: str | None = None


class RejectedRecord(Contract):
    at: int
    reason: str


class ImportStart(Contract):
    """Without a format each record is read as what it looks like. `again` forgets how far an earlier import came."""

    domain: Slug
    format: ImportFormat | None = None
    again: bool = False


class Batch(Contract):
    """The records from `position` on, counted from 0 since the file's beginning."""

    position: int = Field(ge=0)
    records: tuple[Record, ...] = Field(max_length=MOST_RECORDS)


class Preview(Contract):
    """Records to be read, but not kept."""

    domain: Slug
    format: ImportFormat | None = None
    records: tuple[Record, ...] = Field(max_length=MOST_RECORDS)


class ImportReceipt(Contract):
    """`accepted` exchanges are new, `known` ones were there already; `rejected` records were left out, in whole or in part.

    `formats` and `reasons` count records. `rejections` names those of the batch; `examples` the first of the import.
    """

    accepted: int = 0
    known: int = 0
    rejected: int = 0
    formats: dict[str, int] = Field(default_factory=dict)
    reasons: dict[str, int] = Field(default_factory=dict)
    rejections: tuple[RejectedRecord, ...] = ()
    examples: tuple[RejectedRecord, ...] = ()


class ImportState(ImportReceipt):
    """How far an import has come: `position` records are stored or rejected, whatever is killed now."""

    id: ImportId
    position: int
    finished: bool
