"""The records that were left out, in a file: each with its place, its reason and its text. As secret as where they came from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from forge_common.contracts.imports import Record, RejectedRecord
from forge_common.errors import Invalid


class RejectedFile:
    """JSON lines that grow with the import. Written before the next batch leaves, so that an import that goes on where
    it was completes the file as well.
    """

    def __init__(self, path: Path, *, anew: bool) -> None:
        try:
            self._file = os.fdopen(os.open(path, os.O_CREAT | os.O_RDWR, 0o600), "r+b")
        except OSError as error:
            raise Invalid(f"{path} cannot be written: {error.strerror}") from error
        self._done: dict[str, int] = {}
        self._read()
        if anew:
            self._file.seek(0)
            self._file.truncate()
            self._done.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(
        self, import_id: str, name: str, rejections: Iterable[RejectedRecord], records: Mapping[int, Record]
    ) -> None:
        """Those that are not in the file yet."""
        for rejection in rejections:
            if rejection.at <= self._done.get(import_id, 0):
                continue
            record = records.get(rejection.at)
            entry = {
                "import": import_id,
                "file": name,
                "record": rejection.at,
                "reason": rejection.reason,
                "text": record.text if record else None,
            }
            self._file.write(json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
            self._done[import_id] = rejection.at
        self._file.flush()

    def _read(self) -> None:
        """What the file has; a line that a kill cut off goes."""
        end = 0
        for line in self._file:
            try:
                entry = json.loads(line)
                self._done[entry["import"]] = max(entry["record"], self._done.get(entry["import"], 0))
            except (ValueError, KeyError, TypeError):
                if not line.endswith(b"\n"):
                    break
                raise Invalid(
                    f"{self._file.name} is no file of rejected records",
                    fix="name another file for --rejected",
                ) from None
            end += len(line)
        self._file.seek(end)
        self._file.truncate()
