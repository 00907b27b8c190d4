"""What goes into a sandbox and what comes out, as the judge outside sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
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


class LanguageRefused(ForgeError):
    """The walls of this machine hold, but not for this language; its tasks are left unscored."""


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


class Language(StrEnum):
    """What a `Job` is written in; SQL and shell have jobs of their own."""

    PYTHON = "python"
    JAVASCRIPT = "javascript"
    TYPESCRIPT = "typescript"


@dataclass(frozen=True, slots=True)
class Job:
    """A candidate's code and the calls to make; `arguments` are positional, tagged, one tuple a call."""

    code: str
    entry_point: str
    arguments: tuple[tuple[Tagged, ...], ...]
    language: Language = Language.PYTHON


@dataclass(frozen=True, slots=True)
class SqlRun:
    """One database of its own: `data` fills the tables; `probe`, if any, is asked after the script."""

    data: str = ""
    probe: str | None = None


@dataclass(frozen=True, slots=True)
class SqlJob:
    """SQLite. Answered by an `Execution` whose replies are the cases in order.

    A value is the list of rows (lists) of the probe, else of the last statement of `script` that yields any.

    A reply that raised "BenchmarkBroken: ..." tells of `setup` or a case's data, not of the script.
    """

    setup: str
    script: str
    cases: tuple[SqlRun, ...]


@dataclass(frozen=True, slots=True)
class ShellRun:
    """One call of the script in an empty folder that holds `files` (relative path: text)."""

    args: tuple[str, ...] = ()
    stdin: str = ""
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ShellJob:
    """Run by bash. The limits are of each case, all its processes together."""

    script: str
    cases: tuple[ShellRun, ...]


@dataclass(frozen=True, slots=True)
class HarnessJob:
    """`tests` is a Python module that defines `check(candidate)`, or whose top level asserts on `entry_point`.

    `preamble` is run before the code, and before the tests too.
    """

    code: str
    entry_point: str
    tests: str
    preamble: str = ""


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
        """Python's and V8's way of telling."""
        return self.kind is Answer.RAISED and self.text.startswith(_OUT_OF_MEMORY)


_OUT_OF_MEMORY = (
    "MemoryError",
    "RangeError: Array buffer allocation failed",
    "RangeError: Failed to allocate memory",
)


class End(StrEnum):
    """How the task's process ended, as its zygote told it."""

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


@dataclass(frozen=True, slots=True)
class ShellReply:
    """What a script left. `files` are the regular ones below its folder, by relative path, read as UTF-8.

    A truncated output or set of files is what was taken of it: the first megabyte, the first 256 files.
    """

    exit_status: int
    stdout: str
    stderr: str = ""
    files: dict[str, str] = field(default_factory=dict)
    is_stdout_truncated: bool = False
    are_files_truncated: bool = False


@dataclass(frozen=True, slots=True)
class ShellExecution:
    """`replies` are the cases that finished, in order; `end` tells of the first that did not, after which none was run.

    A script that ends by itself has finished, whatever its status (128 + n when a signal ended it).
    """

    replies: tuple[ShellReply, ...]
    end: End
    cpu_s: float = 0.0
    wall_s: float = 0.0
    memory_bytes: int = 0
    detail: str = ""


class Side(StrEnum):
    """On which side of a harness something went wrong."""

    CANDIDATE = "candidate"
    TESTS = "tests"


@dataclass(frozen=True, slots=True)
class HarnessExecution:
    """`has_passed` is the tests' own verdict, out of a sandbox that the candidate has no way into.

    When not: `text` is the error ("AssertionError: ..."), `line` where it passed through `side`'s source. An assertion
    that fails is told of the TESTS, an error that the candidate raised of the CANDIDATE. When `end` is not FINISHED, it is
    how `side`'s process ended.
    `is_weak`: what the tests pass is not plain data, or they use more of the candidate than its entry point; so both ran in
    one process, where the candidate could have forged the verdict.
    """

    has_passed: bool
    end: End
    side: Side | None = None
    text: str = ""
    line: int | None = None
    is_weak: bool = False
    cpu_s: float = 0.0
    wall_s: float = 0.0
    memory_bytes: int = 0
    detail: str = ""
