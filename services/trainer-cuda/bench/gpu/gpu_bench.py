"""A 7B on this machine's card: real tokens per second, MFU, peak memory, beside TRL + PEFT in the same run.

    python services/trainer-cuda/bench/gpu/gpu_bench.py [--tiny] [--tokens N]

Qwen2.5-7B's shapes with random weights; rows of chat lengths. MFU is by 4N: without gradients of the base's weights a
token costs four times as many operations as it meets weights; what is recomputed counts for nothing. `--tiny` runs
everything with a tiny model on the CPU, to see that it runs.
"""

# ruff: noqa: T201  a table on the terminal is what this is for
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from shapes import QWEN2_5_7B, TINY, chat_lengths, token_rows, write_base

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from peer_environment import peer_python  # noqa: E402  it stands a folder higher
from tables import table  # noqa: E402

from forge_trainer_cuda.footprint import Shape  # noqa: E402
from forge_trainer_cuda.settings import Settings  # noqa: E402

# Dense bf16, TFLOP/s, as NVIDIA's data sheets say.
PEAKS = {
    "H200": 989, "H100 PCIe": 756, "H100 NVL": 835, "H100": 989, "A100": 312, "L40S": 362, "L4": 121,
    "RTX 5090": 210, "RTX 4090": 165, "RTX 3090": 71,
}  # fmt: skip
FLOOR_ON_H200 = 8_000
GOALS_ON_H200 = (12_000, 16_000)
SMALL_GIB = 7.5
RULES = {"rank": 16, "alpha": 32, "epochs": 1, "batch_size": 64, "learning_rate": 2e-4,
         "warmup_steps": 2, "max_seq_length": 8192, "seed": 1}  # fmt: skip


@dataclass(frozen=True)
class Case:
    name: str
    method: str
    tokens: int
    is_peer: bool = False
    limit_gib: float | None = None


@dataclass(frozen=True)
class Setting:
    base: Path
    shape: dict[str, Any]
    device: str
    longest: int
    batch_tokens: int
    home: Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--tiny", action="store_true", help="a tiny model on the CPU: the figures mean nothing"
    )
    parser.add_argument("--tokens", type=int, default=160_000, help="in each training")
    parser.add_argument("--no-peer", action="store_true")
    options = parser.parse_args()
    if not options.tiny and not torch.cuda.is_available():
        print("no NVIDIA card answers here: nothing was measured (--tiny runs the script on the CPU)")
        return 0
    device = "cpu" if options.tiny else "cuda"
    tokens = 16_000 if options.tiny else options.tokens
    with tempfile.TemporaryDirectory() as home:
        shape = TINY if options.tiny else QWEN2_5_7B
        base = write_base(Path(home) / "base", shape)
        longest, batch_tokens = (256, 1024) if options.tiny else (4096, 16_384)
        setting = Setting(base, shape, device, longest, batch_tokens, Path(home))
        cases = _cases(tokens, has_peer=not options.no_peer)
        if options.tiny:
            cases = [replace(case, limit_gib=None) for case in cases]
        return run(setting, cases)


def _cases(tokens: int, *, has_peer: bool) -> list[Case]:
    ours = [Case("trainer-cuda, LoRA bf16", "lora", tokens), Case("trainer-cuda, QLoRA NF4", "qlora", tokens)]
    small = Case(f"8 GB profile, QLoRA capped to {SMALL_GIB} GiB", "qlora", tokens // 4, limit_gib=SMALL_GIB)
    # Padded and recomputed it takes several times as long: fewer tokens say as much.
    theirs = [Case("TRL + PEFT, LoRA bf16", "lora", tokens // 4, is_peer=True),
              Case("TRL + PEFT, QLoRA NF4", "qlora", tokens // 4, is_peer=True)]  # fmt: skip
    return [*ours, small, *(theirs if has_peer else [])]


def run(setting: Setting, cases: Sequence[Case]) -> int:
    card = torch.cuda.get_device_name() if setting.device == "cuda" else "this CPU"
    rows, failed = [], False
    for case in cases:
        told = _measured(setting, case)
        if told is None:
            failed = failed or not case.is_peer
            rows.append((case.name, "failed", None, None, None, None))
            continue
        speed = _speed(told)
        rows.append((case.name, round(speed), _mfu(speed, setting.shape, card), told["peak"] / 2**30,
                     told.get("at_once"), told.get("kept")))  # fmt: skip
        print(f"{case.name}: {speed:.0f} tokens/s", flush=True)
    table(f"Qwen2.5-7B's shapes on {card}" if setting.device == "cuda" else "A tiny model on this CPU",
          ("", "real tokens/s", "MFU %", "peak GiB", "tokens at once", "blocks that keep"), rows)  # fmt: skip
    _say_floors(rows, card)
    return 1 if failed or _missed(rows, card) else 0


def _measured(setting: Setting, case: Case) -> dict[str, Any] | None:
    lengths = chat_lengths(case.tokens, setting.longest)
    tokens, masks = token_rows(lengths, setting.shape["vocab_size"])
    rules = RULES | {
        "method": case.method,
        "max_memory_gb": case.limit_gib,
        "batch_tokens": setting.batch_tokens,
    }
    folder = Path(tempfile.mkdtemp(dir=setting.home))
    task: dict[str, Any] = {"rules": rules, "tokens": tokens, "masks": masks}
    if case.is_peer:
        python = peer_python()
        if python is None:
            return None
        # Defaults of a user with a large card: eight rows at a time, gradients of four such.
        task |= {"base": str(setting.base), "tokenizer": str(setting.base), "workdir": str(folder),
                 "rows_at_once": 8, "recompute": True, "rules": rules | {"batch_size": 32}}  # fmt: skip
        command = [str(python), str(HERE.parent / "peer_trl.py")]
    else:
        task["job"] = {"base": str(setting.base), "base_name": "shapes", "train": "", "valid": "", "system_prompt": "",
                       "workdir": str(folder), "max_tokens_at_once": 16_384, "device": setting.device}  # fmt: skip
        command = [sys.executable, str(HERE / "measure.py")]
    path = folder / "task.json"
    path.write_text(json.dumps(task), encoding="utf-8")
    environment = os.environ | Settings().child_environment()
    done = subprocess.run(
        [*command, str(path)], env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        return None
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    told.setdefault("tokens", [sum(lengths) / len(told["wall"])] * len(told["wall"]))
    return told


def _speed(told: dict[str, Any]) -> float:
    """Real tokens per second after the first two steps, which warm up and watch memory."""
    skipped = min(2, len(told["wall"]) - 1)
    ends, tokens = told["wall"][skipped - 1 :], told["tokens"][skipped:]
    return float(sum(tokens) / (ends[-1] - ends[0])) if len(ends) > 1 else 0.0


def _mfu(speed: float, shape: dict[str, Any], card: str) -> float | None:
    peak = next((peak for name, peak in PEAKS.items() if name in card), None)
    return speed * 4 * Shape.of(shape).multiplied / (peak * 1e12) * 100 if peak else None


def _say_floors(rows: Sequence[tuple[Any, ...]], card: str) -> None:
    print(
        f"floors: {FLOOR_ON_H200} tokens/s on an H200, goals {GOALS_ON_H200}; 8 GB profile under {SMALL_GIB} GiB"
    )
    for missed in _missed(rows, card):
        print(f"MISSED: {missed}")


def _missed(rows: Sequence[tuple[Any, ...]], card: str) -> list[str]:
    """The speed's floor holds for the faster way on an H200, the memory's everywhere."""
    found = []
    ours = [row for row in rows if row[0].startswith("trainer-cuda") and row[1] != "failed"]
    if "H200" in card and max((row[1] for row in ours), default=0) < FLOOR_ON_H200:
        found.append(f"{FLOOR_ON_H200} tokens/s")
    found += [row[0] for row in rows if row[0].startswith("8 GB") and (row[3] or 0) >= SMALL_GIB]
    return found


if __name__ == "__main__":
    sys.exit(main())
