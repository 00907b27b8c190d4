"""What a task's processes use together, read from /proc by the zygote; the kernel limits only each of them."""

from __future__ import annotations

import contextlib
import os

_PARENT, _USER, _SYSTEM, _USER_WAITED, _SYSTEM_WAITED, _RESIDENT = 1, 11, 12, 13, 14, 21


class Usage:
    """The most that was seen at once: CPU time never falls but when a process goes unwaited for."""

    def __init__(self) -> None:
        self.cpu_s = 0.0
        self.memory_bytes = 0

    def look(self, proc: int, above: int) -> None:
        """Take in all processes below `above`, itself not among them."""
        processes = _processes(proc)
        below, last = {above}, 0
        while len(below) > last:
            last = len(below)
            below |= {pid for pid, fields in processes.items() if int(fields[_PARENT]) in below}
        fields = [processes[pid] for pid in below - {above} if pid in processes]
        times = (_USER, _SYSTEM, _USER_WAITED, _SYSTEM_WAITED)
        ticks = sum(int(each[which]) for each in fields for which in times)
        resident = sum(int(each[_RESIDENT]) for each in fields)
        self.cpu_s = max(self.cpu_s, ticks / os.sysconf("SC_CLK_TCK"))
        self.memory_bytes = max(self.memory_bytes, resident * os.sysconf("SC_PAGE_SIZE"))

    def excess(self, cpu_s: float, memory_bytes: int) -> str | None:
        if self.cpu_s > cpu_s:
            return "cpu"
        return "memory" if self.memory_bytes > memory_bytes else None


def _processes(proc: int) -> dict[int, list[str]]:
    """The fields of every process's stat after its name, which may hold anything."""
    found = {}
    for name in os.listdir(proc):
        if name.isdigit():
            with contextlib.suppress(OSError):
                entry = os.open(name + "/stat", os.O_RDONLY, dir_fd=proc)
                with os.fdopen(entry, "rb") as file:
                    found[int(name)] = file.read().rpartition(b")")[2].decode().split()
    return found
