"""Tensors of a model folder, read in blocks of rows so that a 7B never needs more than a few hundred MB; bfloat16 without torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from forge_common.weights.tokenizer import ModelFolderBroken, read_json

Array = NDArray[np.floating]

# Rows are read until a block holds this many numbers: 64 MiB as f32.
BLOCK_NUMBERS = 16 * 1024 * 1024
# Numbers as they lie in the file; bfloat16 is the upper half of an f32.
_STORED: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "F64": np.dtype("<f8"),
}


class UnsupportedWeights(ModelFolderBroken):
    """The folder holds tensors in a form that cannot be read exactly, e.g. already quantised ones."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a tensor lies. `dtype` is the safetensors name, `start` the offset in the file."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int

    @property
    def row_length(self) -> int:
        return int(np.prod(self.shape[1:], dtype=np.int64))


class Weights(Protocol):
    """Named tensors: a checkpoint, or one with an adapter merged in."""

    def names(self) -> list[str]: ...

    def shape(self, name: str) -> tuple[int, ...]: ...

    def rows(self, name: str, start: int, stop: int) -> NDArray[np.float32]:
        """Rows `start` to `stop` of the first axis, as f32."""
        ...


class Checkpoint:
    """Every tensor of the safetensors files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise ModelFolderBroken(
                f"{folder.name} holds no safetensors files", fix="fetch the base model again"
            )
        self.stored = {name: stored for file in files for name, stored in _header(file).items()}

    def names(self) -> list[str]:
        return list(self.stored)

    def shape(self, name: str) -> tuple[int, ...]:
        return self.stored[name].shape

    def rows(self, name: str, start: int, stop: int) -> NDArray[np.float32]:
        stored = self.stored[name]
        dtype = _STORED[stored.dtype]
        count = (stop - start) * stored.row_length
        offset = stored.start + start * stored.row_length * dtype.itemsize
        with stored.file.open("rb") as file:
            raw = np.fromfile(file, dtype=dtype, count=count, offset=offset)
        if raw.size != count:
            raise ModelFolderBroken(
                f"{stored.file.name} is cut short at {name}", fix="fetch the base model again"
            )
        return _as_f32(raw, stored.dtype).reshape(stop - start, *stored.shape[1:])

    def tensor(self, name: str) -> NDArray[np.float32]:
        """The whole tensor; for the small ones."""
        return self.rows(name, 0, self.shape(name)[0])


def blocks(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Row ranges that cover a tensor in blocks of about BLOCK_NUMBERS numbers."""
    step = max(1, BLOCK_NUMBERS // max(1, int(np.prod(shape[1:], dtype=np.int64))))
    for start in range(0, shape[0], step):
        yield start, min(start + step, shape[0])


def write_safetensors(path: Path, weights: Weights, dtypes: Mapping[str, str]) -> None:
    """Write the tensors named in `dtypes` (as F32 or F16), block by block.

    Raises UnsupportedWeights when a number does not fit its type.
    """
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, dtype in dtypes.items():
        size = int(np.prod(weights.shape(name), dtype=np.int64)) * _STORED[dtype].itemsize
        header[name] = {
            "dtype": dtype,
            "shape": list(weights.shape(name)),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, dtype in dtypes.items():
            _write_tensor(file, weights, name, _STORED[dtype])


def fit(block: Array, dtype: np.dtype[np.generic], name: str) -> Array:
    """`block` as `dtype`. Raises UnsupportedWeights when a number is not finite there."""
    # f16 ends at 65504; a silent infinity would make every answer nonsense.
    with np.errstate(over="ignore"):
        fitted: Array = block.astype(dtype, copy=False)
    if not np.isfinite(fitted).all():
        raise UnsupportedWeights(
            f"{name} holds numbers that are not finite as {dtype.name}",
            fix="train again: the weights diverged, or they do not fit 16 bits",
        )
    return fitted


def with_rope_theta(config: Mapping[str, object]) -> dict[str, object]:
    """The config with its RoPE base under both keys: transformers 5 reads one, mlx-lm only the other and guesses."""
    theta = rope_theta(config)
    found = config.get("rope_parameters") or config.get("rope_scaling")
    parameters = dict(found) if isinstance(found, Mapping) else {"rope_type": "default"}
    return {**config, "rope_theta": theta, "rope_parameters": {**parameters, "rope_theta": theta}}


def rope_theta(config: Mapping[str, object]) -> float:
    """The RoPE base, wherever the config keeps it. Raises ModelFolderBroken when it is nowhere."""
    nested = config.get("rope_parameters")
    found = nested.get("rope_theta") if isinstance(nested, Mapping) else None
    found = config.get("rope_theta") if found is None else found
    if not isinstance(found, int | float):
        raise ModelFolderBroken("the base model's config.json names no rope_theta")
    return float(found)


def model_config(folder: Path) -> dict[str, Any]:
    return read_json(folder / "config.json")


def _header(file: Path) -> dict[str, Stored]:
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            # A file that is none claims any length; what is not there is not read.
            header = json.loads(stream.read(min(length, file.stat().st_size)))
    except (OSError, ValueError) as error:
        raise ModelFolderBroken(
            f"{file.name} cannot be read: {error}", fix="fetch the base model again"
        ) from error
    return {
        name: _stored(file, name, entry, 8 + length)
        for name, entry in header.items()
        if name != "__metadata__"
    }


def _stored(file: Path, name: str, entry: dict[str, object], data: int) -> Stored:
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    assert isinstance(dtype, str)
    assert isinstance(shape, list)
    assert isinstance(offsets, list)
    if dtype not in _STORED:
        raise UnsupportedWeights(
            f"{name} is stored as {dtype}",
            fix="use the base model's full-precision weights; quantised ones cannot be exported exactly",
        )
    return Stored(file, dtype, tuple(shape) or (1,), data + int(offsets[0]))


def _as_f32(raw: NDArray[np.generic], dtype: str) -> NDArray[np.float32]:
    if dtype == "BF16":
        return (raw.astype(np.uint32) << 16).view(np.float32)
    return raw.astype(np.float32, copy=False)


def _write_tensor(file: BinaryIO, weights: Weights, name: str, dtype: np.dtype[np.generic]) -> None:
    for start, stop in blocks(weights.shape(name)):
        np.ascontiguousarray(fit(weights.rows(name, start, stop), dtype, name)).tofile(file)
