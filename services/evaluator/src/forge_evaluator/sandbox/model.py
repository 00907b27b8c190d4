"""What goes into a sandbox and what comes out, as the judge outside sees it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from pydantic import JsonValue

from forge_common.errors import DependencyDown, ForgeError

Tagged: TypeAlias = JsonValue
"""Plain data as `inside.plain` tags it."""


class NoSandbox(ForgeError):
    """This machine offers no walls strong enough to run a model's code."""


class SandboxLost(DependencyDown):
    """The sandbox itself failed, whoever's fault it was."""


class Walls(StrEnum):
    BUBBLEWRAP = "bubblewrap"
    NAMESPACES = "namespaces"
    LANDLOCK = "landlock"
    SEATBELT = "seatbelt"

    @property
    def letter(self) -> str:
        return {"bubblewrap": "A", "namespaces": "A'", "landlock": "B", "seatbelt": "C"}[self.value]


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one task, all its calls together. CPU time is the limit, the wall clock only the backstop."""

    cpu_s: int = 2
    wall_s: float = 20.0
    memory_bytes: int = 512 * 1024 * 1024
    disk_bytes: int = 16 * 1024 * 1024
    file_bytes: int = 8 * 1024 * 1024
    files: int = 256
    threads: int = 32


@dataclass(frozen=True, slots=True)
class Job:
    """A candidate's code and the calls to make; `arguments` are positional, tagged, one tuple a call."""

    code: str
    entry_point: str
    arguments: tuple[tuple[Tagged, ...], ...]


class Answer(StrEnum):
    VALUE = "value"
    RAISED = "raised"
    UNSENDABLE = "unsendable"


@dataclass(frozen=True, slots=True)
class Reply:
    """What one call led to, as the untrusted side told it. `value` is tagged; `text` describes the two other kinds."""

    kind: Answer
    value: Tagged = None
    text: str = ""
    line: int | None = None

    @property
    def is_out_of_memory(self) -> bool:
        return self.kind is Answer.RAISED and self.text.startswith("MemoryError")


class End(StrEnum):
    """How the task's process ended, as its monitor told it."""

    FINISHED = "finished"
    CPU = "cpu"
    WALL = "wall"
    KILLED = "killed"
    DIED = "died"
    GARBLED = "garbled"


@dataclass(frozen=True, slots=True)
class Execution:
    """`loaded` answers the module itself; `replies` the calls, in order, as far as they came."""

    loaded: Reply | None
    replies: tuple[Reply, ...]
    end: End
    cpu_s: float = 0.0
    wall_s: float = 0.0
    memory_bytes: int = 0
    detail: str = ""
