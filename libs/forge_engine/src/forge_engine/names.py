"""Model names as Ollama reads them: `[[host/]namespace/]model[:tag]`, any case, `latest` by default."""

from __future__ import annotations

import re
from dataclasses import dataclass

PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")
HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}")
LIBRARY = "library"
MAX_PARTS = 3


@dataclass(frozen=True)
class ModelName:
    """`text` is the name in full, as written, with its tag; `key` is the same for every spelling of one name."""

    text: str

    @property
    def key(self) -> str:
        return self.text.lower()


def parse(text: str) -> ModelName | None:
    """The full name, or None where Ollama too says "invalid model name"."""
    path, colon, tag = text.rpartition(":")
    if not colon or "/" in tag:
        path, tag = text, "latest"
    parts = path.split("/")
    if len(parts) > MAX_PARTS or not PART.fullmatch(tag):
        return None
    *before, model = parts
    hosts, namespaces = before[:-1], before[-1:]
    if not all(PART.fullmatch(part) for part in (model, *namespaces)):
        return None
    if not all(HOST.fullmatch(host) for host in hosts):
        return None
    if not hosts and namespaces and namespaces[0].lower() == LIBRARY:
        return ModelName(f"{model}:{tag}")
    return ModelName(f"{'/'.join(parts)}:{tag}")
