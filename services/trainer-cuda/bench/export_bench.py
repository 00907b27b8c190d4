"""Peak memory and CPU of a fused export, each in a process of its own: weights of an 8B's widths, a LoRA merged in.

    python services/trainer-cuda/bench/export_bench.py [--quick | --large | --whole]

Two sizes tell how the peak grows with the model. Ends with 1 when an export takes more than 2 GiB, or a 7B would by that
growth: it must be exported on the machine that serves it.
"""

# ruff: noqa: T201  a table on the terminal is what this is for
from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, get_args

import numpy as np

from forge_common.contracts.domain import Quant
from forge_common.testing.tiny_model import tensor_shapes, write_tiny_model
from forge_common.weights.adapter import Adapter, Pair, write_adapter_folder
from forge_common.weights.checkpoint import Checkpoint, model_config
from forge_common.weights.gguf_writer import write_base

LIMIT_GIB = 2.0
RANK = 16
# What tells most, of all that can be written.
TELLING: tuple[Quant, ...] = ("f16", "q4_k_m")
# A 7B's weights in bf16: Qwen2.5-7B has 7.6 billion numbers.
SEVEN_B_GB = 15.2
# An 8B Llama's, whose query rows are written in another order: the case that needs most at once.
WIDE = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 32000,
    "max_position_embeddings": 8192,
}
WHOLE_LAYERS = 32
NARROW = {**WIDE, "hidden_size": 512, "intermediate_size": 1024, "num_attention_heads": 4, "vocab_size": 8192}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a smoke test: narrow weights, no large file")
    parser.add_argument("--large", action="store_true", help="every quantisation, not only f16 and Q4_K_M")
    parser.add_argument(
        "--whole", action="store_true", help="all layers of a 7B as f16 (Mistral's shape): 29 GB under TMPDIR"
    )
    parser.add_argument(
        "--child", nargs=4, metavar=("BASE", "ADAPTER", "OUT", "QUANT"), help=argparse.SUPPRESS
    )
    options = parser.parse_args()
    if options.child:
        return measured_export(*options.child)
    if options.quick:
        table(NARROW, (1, 2), TELLING)
        return 0
    if options.whole:
        return table(WIDE, (WHOLE_LAYERS,), ("f16",))
    return table(WIDE, (1, 2), get_args(Quant) if options.large else TELLING)


def table(widths: dict[str, int], depths: tuple[int, ...], first: tuple[Quant, ...]) -> int:
    peaks: dict[Quant, list[tuple[float, float]]] = {}
    print("Fused export, LoRA merged in, bf16 weights: memory does not grow with the model\n")
    print(
        f"{'weights':>10} {'quant':>7} {'file':>9} {'peak':>10} {'per GB':>9} {'of it Python':>13} {'CPU':>8} {'clock':>8}"
    )
    for depth in depths:
        with tempfile.TemporaryDirectory(prefix="export-bench-") as folder:
            base = write_weights(Path(folder) / "base", widths | {"num_hidden_layers": depth})
            adapter = write_adapter(Path(folder) / "adapter", base)
            # Every quantisation at one size; at the next, what grows is seen in the most exact and a small one.
            for quant in first if depth == depths[0] else TELLING:
                figures = measure(base, adapter, Path(folder) / "out.gguf", quant)
                peaks.setdefault(quant, []).append((weights_gb(base), figures["peak"] / 2**30))
                print(line(base, quant, figures), flush=True)
    worst = max(peak for sizes in peaks.values() for _, peak in sizes)
    print(f"\nlargest peak: {worst:.2f} GiB of {LIMIT_GIB:.0f} allowed")
    if len(depths) > 1:
        worst = max(extrapolated(peaks[quant]) for quant in TELLING)
        print(f"a 7B by the growth seen: {worst:.2f} GiB")
    return int(worst > LIMIT_GIB)


def extrapolated(seen: list[tuple[float, float]]) -> float:
    """GiB at a 7B's size, on a straight line through (GB of weights, peak GiB) of two sizes; never less than seen."""
    (small, low), (large, high) = seen
    return max(low, high, high + (high - low) / (large - small) * (SEVEN_B_GB - large))


def weights_gb(base: Path) -> float:
    return (base / "model.safetensors").stat().st_size / 1e9


def line(base: Path, quant: str, figures: dict[str, Any]) -> str:
    size = weights_gb(base)
    peak = figures["peak"] / 2**20
    return (
        f"{size:>7.2f} GB {quant:>7} {figures['file'] / 1e9:>6.2f} GB {peak:>6.0f} MiB {peak / size:>5.0f} MiB "
        f"{figures['before'] / 2**20:>9.0f} MiB {figures['cpu']:>6.1f} s {figures['clock']:>6.1f} s"
    )


def measure(base: Path, adapter: Path, out: Path, quant: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", str(base), str(adapter), str(out), quant]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def measured_export(base: str, adapter: str, out: str, quant: Any) -> int:
    before, started = peak_bytes(), time.monotonic()
    write_base(Path(base), Path(out), quant=quant, name="bench", adapter=Path(adapter))
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "before": before,
        "peak": peak_bytes(),
        "cpu": used.ru_utime + used.ru_stime,
        "clock": time.monotonic() - started,
        "file": Path(out).stat().st_size,
    }
    print(json.dumps(figures))
    return 0


def peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if sys.platform == "darwin":
        return peak
    # A child's ru_maxrss begins with its parent's size; the high-water mark of its own memory does not.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def write_weights(folder: Path, shape: dict[str, int]) -> Path:
    """A Llama of that shape; one block of random bf16 over and over, so that a large file takes seconds."""
    write_tiny_model(folder, "llama")
    config = model_config(folder) | shape
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    shapes, header, offset = dict(tensor_shapes(config)), {}, 0
    for name, size in shapes.items():
        end = offset + 2 * int(np.prod(size))
        header[name] = {"dtype": "BF16", "shape": list(size), "data_offsets": [offset, end]}
        offset = end
    numbers = np.random.default_rng(0).standard_normal(2**22).astype(np.float32) * np.float32(0.02)
    block = (numbers.view(np.uint32) >> 16).astype("<u2").tobytes()
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for start in range(0, offset, len(block)):
            file.write(block[: offset - start])
    return folder


def write_adapter(folder: Path, base: Path) -> Path:
    source, random = Checkpoint(base), np.random.default_rng(1)

    def numbers(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        return random.standard_normal(shape, dtype=np.float32) * np.float32(0.02)

    pairs = {
        name: Pair(a=numbers(RANK, source.shape(name)[1]), b=numbers(source.shape(name)[0], RANK))
        for name in source.names()
        if name.endswith("proj.weight")
    }
    write_adapter_folder(folder, Adapter(pairs, RANK, 2.0 * RANK), base_name="bench")
    return folder


if __name__ == "__main__":
    sys.exit(main())
