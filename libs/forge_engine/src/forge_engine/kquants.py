"""Rows of numbers as llama.cpp's own block formats, by its code: no file, no model, one block of rows at a time.

llama.cpp's library is asked for one function of ggml's C interface. Where it lacks it, its program `llama-quantize` on
PATH turns a whole f16 file into a quantised one; where that is missing too, QuantiserMissing.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from numpy.typing import NDArray

from forge_common.errors import ForgeError, Invalid
from forge_engine.settings import usable_cores

PROGRAM = "llama-quantize"
CHECK_S = 0.5
LAST_WORDS = 500


class QuantiserMissing(Invalid):
    """Nothing on this machine writes llama.cpp's K-quants."""

    def __init__(self, quant: str) -> None:
        super().__init__(
            f"nothing here can write {quant}: llama.cpp's library does not offer it, and no {PROGRAM} is on PATH",
            fix="install llama.cpp, or set deploy.quant to q8_0 or f16, or deploy.without_quantiser to q8_0",
        )


class QuantiserFailed(ForgeError):
    """llama-quantize could not write the file."""


def has_rows() -> bool:
    """Whether `rows` works here."""
    return _function() is not None


def program() -> str | None:
    return shutil.which(PROGRAM)


def rows(block: NDArray[np.float32], kind: GGMLQuantizationType) -> NDArray[np.uint8]:
    """The rows of `block`, each as whole blocks of `kind`. Raises QuantiserMissing."""
    quantise = _function()
    if quantise is None:
        raise QuantiserMissing(kind.name)
    per_block, block_bytes = GGML_QUANT_SIZES[kind]
    source = np.ascontiguousarray(block, dtype=np.float32)
    count, width = source.shape
    assert width % per_block == 0, f"a row of {width} numbers holds no whole blocks of {per_block}"
    encoded = np.empty((count, width // per_block * block_bytes), dtype=np.uint8)

    def part(start: int, stop: int) -> None:
        quantise(int(kind), source.ctypes.data, encoded.ctypes.data, start * width, stop - start, width, None)

    # The call lets go of Python's lock, so that rows are quantised on every core.
    bounds = np.linspace(0, count, min(usable_cores(), count) + 1, dtype=int).tolist()
    with ThreadPoolExecutor(len(bounds) - 1) as pool:
        list(pool.map(part, bounds[:-1], bounds[1:]))
    return encoded


def quantise_file(source: Path, out: Path, quant: str, check: Callable[[], None] = lambda: None) -> None:
    """The f16 file `source` as `quant` by llama.cpp's own program, until `check` raises. Raises QuantiserMissing, QuantiserFailed."""
    found = program()
    if found is None:
        raise QuantiserMissing(quant)
    with subprocess.Popen(
        [found, str(source), str(out), quant.upper()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        said = _last_words(process, check)
    if process.returncode != 0 or not out.is_file():
        raise QuantiserFailed(
            f"{found} ended with {process.returncode}: {said[-LAST_WORDS:]}",
            fix="is it of this year's llama.cpp, and is there room on the disk?",
        )


def _last_words(process: subprocess.Popen[str], check: Callable[[], None]) -> str:
    """What the process said to its end. What `check` raises kills it."""
    while True:
        try:
            return process.communicate(timeout=CHECK_S)[0]
        except subprocess.TimeoutExpired:
            try:
                check()
            except BaseException:
                process.kill()
                raise


@cache
def _function() -> Callable[..., int] | None:
    """ggml_quantize_chunk(type, source, target, first number, rows, numbers in a row, importance)."""
    import xllamacpp.xllamacpp as library

    found: Any = getattr(ctypes.CDLL(library.__file__), "ggml_quantize_chunk", None)
    if found is None:
        return None
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    found.argtypes = [ctypes.c_int, pointer, pointer, number, number, number, pointer]
    found.restype = ctypes.c_size_t
    quantise: Callable[..., int] = found
    return quantise
