"""Records of other systems as exchanges: one reader a format, each pure, each refusing what it cannot read with a reason."""

from __future__ import annotations

from typing import Protocol

from forge_collector.dialects.dialect import JsonObject, Unreadable
from forge_collector.imports import forge, helicone, langfuse, open_webui, openai_files, plain, sharegpt
from forge_collector.imports.record import Reading
from forge_common.contracts.imports import ImportFormat


class Reader(Protocol):
    """Every module of a format is one."""

    def recognises(self, record: JsonObject) -> bool: ...

    def read(self, record: JsonObject) -> Reading:
        """Raises Unreadable."""
        ...


# In the order in which they are tried: the most particular first.
READERS: dict[ImportFormat, Reader] = {
    ImportFormat.OPEN_WEBUI: open_webui,
    ImportFormat.HELICONE: helicone,
    ImportFormat.FORGE: forge,
    ImportFormat.SHAREGPT: sharegpt,
    ImportFormat.OPENAI: openai_files,
    ImportFormat.LANGFUSE: langfuse,
    ImportFormat.PLAIN: plain,
}


def detect(record: JsonObject) -> ImportFormat:
    """What the record looks like. Raises Unreadable."""
    for name, reader in READERS.items():
        if reader.recognises(record):
            return name
    raise Unreadable(f"of no known format ({', '.join(ImportFormat)})")
