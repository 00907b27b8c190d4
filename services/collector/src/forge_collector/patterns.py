"""Which exchanges a rule is about: globs over who answered. Pure; it knows nothing of what a rule then decides."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase, translate
from functools import lru_cache
from urllib.parse import urlsplit

from forge_common.contracts.exchange import Exchange, Origin
from forge_common.errors import Invalid

LONGEST = 200
FIX = (
    "write a model's name such as 'claude-*', or clauses such as 'host=*.openai.com', 'origin=import', "
    "'kind=restricted'; several in one pattern must all hold"
)


class PatternUnreadable(Invalid):
    """Not a pattern that could ever match an exchange."""


class TeacherKind(StrEnum):
    """What is known of a teacher. RESTRICTED: its terms restrict what may be trained on its answers."""

    OWN = "own"
    OPEN = "open"
    LOCAL = "local"
    RESTRICTED = "restricted"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Teacher:
    """Who answered an exchange, as far as the exchange says. `host` is the upstream's name without its port."""

    origin: str
    host: str = ""
    asked: str = ""
    served: str = ""

    @classmethod
    def make(
        cls, origin: str, upstream: str | None, model_asked: str | None, model_served: str | None
    ) -> Teacher:
        return cls(origin, host_of(upstream), model_asked or "", model_served or "")

    @classmethod
    def of(cls, exchange: Exchange) -> Teacher:
        return cls.make(exchange.origin, exchange.upstream, exchange.model_asked, exchange.model_served)

    @property
    def models(self) -> tuple[str, ...]:
        """Both names, whole and without the vendor that routers put before them: `anthropic/claude-x`, `claude-x`."""
        names = (self.served, self.asked)
        return (*names, *(name.rpartition("/")[2] for name in names))


@dataclass(frozen=True, slots=True)
class Pattern:
    """Clauses that must all hold; None holds always. Models fit when the one asked for or the one that served does."""

    model: str | None = None
    host: str | None = None
    origin: str | None = None
    kind: str | None = None

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """`claude-*`, `host=*.openai.com`, `origin=import model=gpt-*`. Raises PatternUnreadable."""
        clauses: dict[str, str] = {}
        for word in text.lower().split():
            key, given, glob = word.partition("=")
            key, glob = (key, glob) if given else ("model", word)
            if key not in KEYS or not glob or key in clauses:
                raise PatternUnreadable(f"{word[:80]!r} cannot stand in a pattern", fix=FIX)
            clauses[key] = glob
        if not clauses or len(text) > LONGEST:
            raise PatternUnreadable(f"a pattern has 1 to {LONGEST} characters, this one {len(text)}", fix=FIX)
        for key, names in _CLOSED.items():
            if key in clauses and not any(fnmatchcase(name, clauses[key]) for name in names):
                known = ", ".join(names)
                raise PatternUnreadable(f"no {key} is called {clauses[key]!r}", fix=f"there are {known}")
        return cls(**clauses)

    def __str__(self) -> str:
        clauses = {key: getattr(self, key) for key in KEYS if getattr(self, key) is not None}
        if clauses.keys() == {"model"}:
            return str(self.model)
        return " ".join(f"{key}={glob}" for key, glob in clauses.items())

    def matches(self, teacher: Teacher, kind: TeacherKind | None = None) -> bool:
        return (
            (self.origin is None or _fits(self.origin, teacher.origin))
            and (self.host is None or _fits(self.host, teacher.host))
            and (self.kind is None or (kind is not None and _fits(self.kind, kind)))
            and (self.model is None or any(_fits(self.model, name) for name in teacher.models))
        )


KEYS = ("origin", "host", "model", "kind")
_CLOSED = {"origin": tuple(Origin), "kind": tuple(TeacherKind)}


def host_of(upstream: str | None) -> str:
    """The host of an upstream's URL; empty where there is none."""
    if not upstream:
        return ""
    try:
        return urlsplit(upstream if "//" in upstream else f"//{upstream}").hostname or ""
    except ValueError:
        return ""


@lru_cache(maxsize=1024)
def _compiled(glob: str) -> re.Pattern[str]:
    return re.compile(translate(glob))


def _fits(glob: str, name: str) -> bool:
    return _compiled(glob).match(name.lower()) is not None
