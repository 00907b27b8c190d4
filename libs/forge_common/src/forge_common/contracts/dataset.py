"""The dataset artifact: a manifest that names its row files by hash. Immutable; the manifest's own hash is the dataset's id."""

from __future__ import annotations

from pydantic import Field, JsonValue

from forge_common.contracts.base import ArtifactRef, Contract, Payload
from forge_common.contracts.exchange import Message


class DatasetRow(Contract):
    """One line of `train.jsonl` or `valid.jsonl`: a conversation that ends with the assistant's answer."""

    messages: tuple[Message, ...] = Field(min_length=2)
    source: str
    """Id of the exchange that the row was made from, or of the imported line."""
    group: str = "domain"
    # What the assistant could call, as it was offered: OpenAI's form.
    tools: tuple[dict[str, JsonValue], ...] | None = None


class PreferenceRow(Contract):
    """One line of `preferences.jsonl`: two answers to the same conversation, of which `chosen` is the better one."""

    messages: tuple[Message, ...] = Field(min_length=1)
    chosen: Message
    rejected: Message
    source: str
    """Id of the exchange that the better answer came from."""
    group: str = "domain"
    tools: tuple[dict[str, JsonValue], ...] | None = None


class FilterCount(Contract):
    reason: str
    rows: int


class RuleCount(Contract):
    """A rule on whose answers may be trained on, and how many of the exchanges seen it decided."""

    rule: str
    source: str
    """`yours` or `shipped`."""
    eligible: bool
    reason: str
    exchanges: int


class SourceCount(Contract):
    """Rows by where their exchanges came from and whose answers they are; `model` is None where nobody said."""

    origin: str
    model: str | None
    rows: int


class DatasetManifest(Payload):
    """`seen` rows went in; `dropped` says why some did not come out; train and valid never share a conversation.

    `policy` has the rules that were in force and decided something. `preferences` names a third file of rows, for training
    by preference; None where there are none.
    """

    domain: str
    train: ArtifactRef
    valid: ArtifactRef
    train_rows: int
    valid_rows: int
    preferences: ArtifactRef | None = None
    preference_rows: int = 0
    seen: int
    dropped: tuple[FilterCount, ...] = ()
    conversations: int = 0
    seed: int = 0
    benchmark: str | None = None
    same_family_allowed: bool = False
    policy: tuple[RuleCount, ...] = ()
    preferences_dropped: tuple[FilterCount, ...] = ()
    # Of the training and validation rows, most first; nothing from datasets of before it was counted.
    sources: tuple[SourceCount, ...] = ()

    @property
    def files(self) -> tuple[ArtifactRef, ...]:
        """All the row files."""
        return (self.train, self.valid, *([self.preferences] if self.preferences else []))
