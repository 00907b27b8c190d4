"""Placeholders that stay the same for the same value throughout a conversation. Values themselves are not kept."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict

_PLACEHOLDER = re.compile(r"<([A-Z][A-Z0-9_]*)_(\d{1,6})>")


class Numbering:
    """Placeholders of one conversation: the same value is the same `<EMAIL_1>` wherever it comes again."""

    __slots__ = ("_counts", "_lock", "_names")

    def __init__(self) -> None:
        self._names: dict[bytes, str] = {}
        self._counts: dict[str, int] = {}
        # Two exchanges of one conversation may be redacted at once.
        self._lock = threading.Lock()

    @classmethod
    def after(cls, redacted_text: str) -> Numbering:
        """One whose placeholders do not repeat those in `redacted_text`: other values get other numbers."""
        numbering = cls()
        for kind, number in _PLACEHOLDER.findall(redacted_text):
            numbering._counts[kind] = max(numbering._counts.get(kind, 0), int(number))
        return numbering

    def placeholder(self, kind: str, value: bytes) -> str:
        """What a value was called first it stays called, whatever rule finds it later."""
        # A digest, so that no secret stays in memory for as long as its conversation is remembered.
        key = hashlib.blake2b(value, digest_size=16).digest()
        with self._lock:
            if key not in self._names:
                self._counts[kind] = self._counts.get(kind, 0) + 1
                self._names[key] = f"<{kind}_{self._counts[kind]}>"
            return self._names[key]

    def merge(self, other: Numbering) -> bool:
        """Know all that `other` knows, if this one would have said the same; else learn nothing. Whether it did."""
        new: dict[bytes, str] = {}
        with self._lock:
            counts = dict(self._counts)
            for key, name in other._names.items():
                known = self._names.get(key)
                if known is None:
                    kind = name[1:-1].rpartition("_")[0]
                    counts[kind] = counts.get(kind, 0) + 1
                    known = new[key] = f"<{kind}_{counts[kind]}>"
                if known != name:
                    return False
            self._names.update(new)
            self._counts = counts
        return True

    @property
    def kinds(self) -> dict[str, int]:
        """How many values of each kind there were."""
        return self._counts

    def __len__(self) -> int:
        return len(self._names)


class Numberings:
    """The numberings of the conversations spoken of last; a conversation that comes back later starts anew."""

    def __init__(self, limit: int = 4096) -> None:
        self._limit = limit
        self._known: OrderedDict[str, Numbering] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, conversation: str, first: Numbering | None = None) -> Numbering:
        """The conversation's numbering; `first`, or an empty one, where there is none yet."""
        with self._lock:
            numbering = self._known.setdefault(conversation, first if first is not None else Numbering())
            self._known.move_to_end(conversation)
            if len(self._known) > self._limit:
                self._known.popitem(last=False)
            return numbering
