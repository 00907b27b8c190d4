"""What the endpoints work on: settings, store and pool together; and what a model's name means to a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from pydantic import JsonValue

from forge_engine import gguf_header, names, sampling
from forge_engine.errors import BadRequest, ModelUnknown
from forge_engine.gguf_header import GgufHeader
from forge_engine.pool import Pool, Wanted
from forge_engine.process import LoadPlan
from forge_engine.settings import Settings
from forge_engine.store import Manifest, ModelStore, Record

# A vocabulary takes a tenth of a second to walk over, and blobs never change.
read_blob = lru_cache(maxsize=32)(gguf_header.read)
THOUSAND, MILLION, BILLION = 1e3, 1e6, 1e9


@dataclass(frozen=True)
class Library:
    settings: Settings
    store: ModelStore
    pool: Pool

    def record(self, asked: str, *, full_name: bool = False) -> Record:
        """Raises BadRequest without a name, ModelUnknown for one that is not in the store (or is no name at all)."""
        if not asked:
            raise BadRequest("model is required")
        name = names.parse(asked)
        record = self.store.find(name) if name else None
        if record is None:
            shown = name.text if name and full_name else asked
            raise ModelUnknown(f"model '{shown}' not found")
        return record

    def header(self, manifest: Manifest) -> GgufHeader:
        return read_blob(self.store.blob(manifest.model.digest))

    def wanted(self, record: Record, options: Mapping[str, JsonValue]) -> Wanted:
        """How to load the model for a request with these options."""
        manifest = record.manifest
        header = self.header(manifest)
        trained = header.number("context_length")
        plan = LoadPlan(
            model=self.store.blob(manifest.model.digest),
            adapter=self.store.blob(manifest.adapter.digest) if manifest.adapter else None,
            context=sampling.context_length(
                self.settings.context, trained, manifest.parameters, dict(options)
            ),
        )
        return Wanted(plan, header, record.name, manifest.digest, manifest.details)


def short_count(count: int) -> str:
    """Parameters as Ollama prints them: 125K, 1.39M, 7.6B."""
    for unit, digits, sign in ((BILLION, 1, "B"), (MILLION, 2, "M"), (THOUSAND, 0, "K")):
        if count >= unit:
            scaled = count / unit
            return f"{scaled:.0f}{sign}" if scaled == int(scaled) else f"{scaled:.{digits}f}{sign}"
    return str(count)
