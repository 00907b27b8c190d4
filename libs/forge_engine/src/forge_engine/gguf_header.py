"""Reads and checks a GGUF's header: metadata, and where every tensor lies. Never reads weights, never trusts a length.

Format: github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType, LlamaFileType

from forge_engine.errors import AdapterMismatch, BrokenGguf, NotGguf

Scalar = str | int | float | bool
Value = Scalar | list[Scalar] | None

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_DIMENSIONS = 4
DEFAULT_ALIGNMENT = 32
# Vocabularies have 150,000 entries: longer arrays are counted and skipped, and stand as None.
LONGEST_ARRAY = 512

FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9


@dataclass(frozen=True)
class Tensor:
    """`shape` in GGUF's order, innermost dimension first: a weight of (out, in) is `(in, out)`."""

    name: str
    shape: tuple[int, ...]
    kind: GGMLQuantizationType
    offset: int

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def size_bytes(self) -> int:
        block, type_size = GGML_QUANT_SIZES[self.kind]
        return int(self.elements // block * type_size)


@dataclass(frozen=True)
class GgufHeader:
    metadata: Mapping[str, Value]
    lengths: Mapping[str, int]
    """Entries of every array, the skipped ones included."""
    tensors: tuple[Tensor, ...]

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", ""))

    @property
    def is_adapter(self) -> bool:
        return self.metadata.get("general.type") == "adapter"

    def number(self, name: str, default: int = 0) -> int:
        """`<architecture>.<name>`; where a model has one per layer, the largest."""
        value = self.metadata.get(f"{self.architecture}.{name}")
        if isinstance(value, list):
            return max((int(v) for v in value), default=default)
        return int(value) if isinstance(value, int | float) else default

    @property
    def parameters(self) -> int:
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def file_type(self) -> str:
        """As Ollama prints it, e.g. `Q8_0`."""
        try:
            name: str = LlamaFileType(int(str(self.metadata.get("general.file_type", -1)))).name
        except ValueError:
            return "unknown"
        return name.removeprefix("ALL_").removeprefix("MOSTLY_")

    def kv_bytes_per_token(self) -> int:
        """What one token of context takes in an f16 cache."""
        heads = self.number("attention.head_count", 1)
        kv_heads = self.number("attention.head_count_kv", heads)
        width = self.number("embedding_length") // max(heads, 1)
        per_head = self.number("attention.key_length", width) + self.number("attention.value_length", width)
        return self.number("block_count") * kv_heads * per_head * 2


def read(path: Path) -> GgufHeader:
    """The header of the file at `path`. Raises NotGguf or BrokenGguf."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            raise NotGguf("supplied file was not in GGUF format")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            return _Reader(view, size).header()


def check_model(header: GgufHeader) -> None:
    """Raises BrokenGguf when the file cannot be a whole model."""
    if header.is_adapter:
        raise BrokenGguf("the file is an adapter, not a model", fix="send it as `adapters`, with `from`")
    if not header.architecture:
        raise BrokenGguf("the GGUF names no general.architecture")
    if not any(tensor.name == "token_embd.weight" for tensor in header.tensors):
        raise BrokenGguf("the GGUF has no tensor token_embd.weight")


def check_adapter(adapter: GgufHeader, base: GgufHeader) -> None:
    """Raises AdapterMismatch unless every pair of `adapter` fits a tensor of `base` (as llama.cpp multiplies them)."""
    if not adapter.is_adapter or adapter.metadata.get("adapter.type") != "lora":
        raise AdapterMismatch("the adapter file is no GGUF LoRA")
    if adapter.architecture != base.architecture:
        raise AdapterMismatch(
            f"the adapter is for architecture {adapter.architecture!r}, the base is {base.architecture!r}"
        )
    shapes = {tensor.name: tensor.shape for tensor in base.tensors}
    pairs = {tensor.name: tensor.shape for tensor in adapter.tensors}
    if not pairs:
        raise AdapterMismatch("the adapter has no tensors")
    for name in pairs:
        _check_pair(name.removesuffix(".lora_a").removesuffix(".lora_b"), pairs, shapes)


def _check_pair(name: str, pairs: Mapping[str, tuple[int, ...]], base: Mapping[str, tuple[int, ...]]) -> None:
    a, b, shape = pairs.get(f"{name}.lora_a"), pairs.get(f"{name}.lora_b"), base.get(name)
    if a is None or b is None:
        raise AdapterMismatch(f"the adapter has only one half of the pair for {name!r}")
    if shape is None:
        raise AdapterMismatch(f"the adapter changes {name!r}, which the base does not have")
    if name == "token_embd.weight":
        fits = shape == (b[1], a[1]) and a[0] == b[0]
    else:
        fits = shape == (a[0], b[1]) and a[1] == b[0]
    if not fits:
        raise AdapterMismatch(f"the adapter's pair for {name!r} is {a} and {b}, the base's tensor is {shape}")


class _Reader:
    def __init__(self, view: mmap.mmap, size: int) -> None:
        self.view, self.size, self.at = view, size, len(MAGIC)
        self.lengths: dict[str, int] = {}

    def header(self) -> GgufHeader:
        version, tensors, entries = self._unpack("I"), self._unpack("Q"), self._unpack("Q")
        if version not in VERSIONS:
            raise BrokenGguf(f"GGUF version {version} is not supported, only {VERSIONS}")
        metadata = dict(self._entry() for _ in range(int(entries)))
        found = tuple(self._tensor() for _ in range(int(tensors)))
        self._check_extents(metadata, found)
        return GgufHeader(metadata, self.lengths, found)

    def _check_extents(self, metadata: Mapping[str, Value], tensors: tuple[Tensor, ...]) -> None:
        alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 1:
            raise BrokenGguf(f"general.alignment is {alignment!r}")
        start = -(-self.at // alignment) * alignment
        for tensor in tensors:
            end = start + tensor.offset + tensor.size_bytes
            if end > self.size:
                raise BrokenGguf(
                    f'tensor "{tensor.name}" offset+size ({end}) exceeds file size ({self.size})',
                    fix="the file was cut short: send it again",
                )

    def _take(self, count: int) -> bytes:
        if count < 0 or self.at + count > self.size:
            raise BrokenGguf(
                "the file ends inside the GGUF header", fix="the file was cut short: send it again"
            )
        taken = self.view[self.at : self.at + count]
        self.at += count
        return taken

    def _unpack(self, code: str) -> int | float | bool:
        value: int | float | bool = struct.unpack(f"<{code}", self._take(struct.calcsize(f"<{code}")))[0]
        return value

    def _text(self) -> str:
        return self._take(int(self._unpack("Q"))).decode("utf-8", errors="replace")

    def _entry(self) -> tuple[str, Value]:
        key, kind = self._text(), int(self._unpack("I"))
        return key, self._array(key) if kind == ARRAY else self._scalar(kind)

    def _scalar(self, kind: int) -> Scalar:
        if kind == STRING:
            return self._text()
        if kind not in FORMATS:
            raise BrokenGguf(f"unknown GGUF value type {kind}")
        return self._unpack(FORMATS[kind])

    def _array(self, key: str) -> list[Scalar] | None:
        kind, length = int(self._unpack("I")), int(self._unpack("Q"))
        self.lengths[key] = length
        if length <= LONGEST_ARRAY:
            return [self._scalar(kind) for _ in range(length)]
        if kind == STRING:
            for _ in range(length):
                self._take(int(self._unpack("Q")))
        elif kind in FORMATS:
            self._take(length * struct.calcsize(f"<{FORMATS[kind]}"))
        else:
            raise BrokenGguf(f"unknown GGUF array type {kind}")
        return None

    def _tensor(self) -> Tensor:
        name, dimensions = self._text(), int(self._unpack("I"))
        if dimensions > MAX_DIMENSIONS:
            raise BrokenGguf(f"tensor {name!r} has {dimensions} dimensions")
        shape = tuple(int(self._unpack("Q")) for _ in range(dimensions))
        kind, offset = int(self._unpack("I")), int(self._unpack("Q"))
        try:
            return Tensor(name, shape, GGMLQuantizationType(kind), offset)
        except ValueError:
            raise BrokenGguf(f"tensor {name!r} has the unknown type {kind}") from None
