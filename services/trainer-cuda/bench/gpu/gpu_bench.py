"""A 7B on this machine's card: real tokens per second, MFU, peak memory, beside TRL + PEFT in the same run.

    python services/trainer-cuda/bench/gpu/gpu_bench.py [--tiny] [--tokens N]

Qwen2.5-7B's shapes with random weights; rows of chat lengths. MFU is by 4N: without gradients of the base's weights a
token costs four times as many operations as it meets weights; what is recomputed counts for nothing. `--tiny` runs
everything with a tiny model on the CPU, to see that it runs. It needs 16 GB of disk under TMPDIR for the base's weights.
"""

# ruff: noqa: T201  a table on the terminal is what this is for
from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shapes import QWEN2_5_7B, TINY, chat_lengths, token_rows, write_base

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from peer_environment import peer_python  # noqa: E402  it stands a folder higher
from tables import table  # noqa: E402

from forge_trainer_cuda.footprint import Shape  # noqa: E402
from forge_trainer_cuda.hardware import Smi, read_card  # noqa: E402
from forge_trainer_cuda.settings import Settings  # noqa: E402

# Enough for the peer's third step: of the first two nothing is measured.
TINY_TOKENS = 32_000
# Dense bf16, TFLOP/s, as NVIDIA's data sheets say.
PEAKS = {
    "H200 NVL": 835, "H200": 989, "H100 PCIe": 756, "H100 NVL": 835, "H100": 989, "A100": 312, "L40S": 362, "L4": 121,
    "RTX 5090": 210, "RTX 4090": 165, "RTX 3090": 71,
}  # fmt: skip
FLOOR_ON_H200 = 8_000
GOALS_ON_H200 = (12_000, 16_000)
SMALL_GIB = 7.5
DISK_BYTES = 16 * 10**9
# Steps that warm up and watch memory: they are left out of the speed.
WARM_UP = 2
RULES = {"rank": 16, "alpha": 32, "epochs": 1, "batch_size": 64, "learning_rate": 2e-4,
         "warmup_steps": 2, "max_seq_length": 8192, "seed": 1}  # fmt: skip


@dataclass(frozen=True)
class Case:
    name: str
    method: str
    tokens: int
    longest: int
    is_peer: bool = False
    limit_gib: float | None = None
    compiled: bool = False

    @property
    def may_fail(self) -> bool:
        """What is shown beside ours, and what nobody gets who does not ask for it."""
        return self.is_peer or self.compiled


@dataclass(frozen=True)
class Setting:
    base: Path
    shape: dict[str, Any]
    device: str
    card: str
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
    found = "this CPU" if options.tiny else read_card()
    card = found.name if isinstance(found, Smi) else found
    if not options.tiny and not isinstance(found, Smi):
        print(
            f"nothing was measured, no NVIDIA card answers here: {card} (--tiny runs the script on the CPU)"
        )
        return 0
    with tempfile.TemporaryDirectory() as home:
        free = shutil.disk_usage(home).free
        if not options.tiny and free < DISK_BYTES:
            print(
                f"the weights take {DISK_BYTES / 1e9:.0f} GB and {home} has {free / 1e9:.0f}: set TMPDIR to a larger disk"
            )
            return 1
        shape = TINY if options.tiny else QWEN2_5_7B
        base = write_base(Path(home) / "base", shape)
        device, batch_tokens = ("cpu", 1024) if options.tiny else ("cuda", 16_384)
        setting = Setting(base, shape, device, card, batch_tokens, Path(home))
        cases = _cases(options.tokens, has_peer=not options.no_peer)
        if options.tiny:
            cases = [replace(case, tokens=TINY_TOKENS, longest=256, limit_gib=None) for case in cases]
        return run(setting, cases)


def _cases(tokens: int, *, has_peer: bool) -> list[Case]:
    plain = Case("trainer-cuda, LoRA bf16", "lora", tokens, 4096)
    quantized = Case("trainer-cuda, QLoRA NF4", "qlora", tokens, 4096)
    ours = [plain, quantized, replace(plain, name="LoRA bf16, blocks compiled", compiled=True)]
    # By arithmetic about 3,000 tokens go at once there.
    small = Case(
        f"8 GB profile, QLoRA capped to {SMALL_GIB} GiB", "qlora", tokens // 2, 2048, limit_gib=SMALL_GIB
    )
    # Padded and recomputed it takes several times as long: fewer tokens say as much.
    theirs = [Case("TRL + PEFT, LoRA bf16", "lora", tokens // 2, 4096, is_peer=True),
              Case("TRL + PEFT, QLoRA NF4", "qlora", tokens // 2, 4096, is_peer=True)]  # fmt: skip
    return [*ours, small, *(theirs if has_peer else [])]


def run(setting: Setting, cases: Sequence[Case]) -> int:
    rows, failed = [], False
    for case in cases:
        told = _measured(setting, case)
        speed = None if told is None else _speed(told)
        if told is None or speed is None:
            failed = failed or not case.may_fail
            rows.append((case.name, "failed", None, None, None, None))
            continue
        rows.append((case.name, round(speed), _mfu(speed, setting.shape, setting.card), _gib(told["peak"]),
                     told.get("at_once"), told.get("kept")))  # fmt: skip
        print(f"{case.name}: {speed:.0f} tokens/s", flush=True)
    what = "A tiny model" if setting.device == "cpu" else "Qwen2.5-7B's shapes"
    table(f"{what} on {setting.card}",
          ("", "real tokens/s", "MFU %", "peak GiB", "tokens at once", "blocks that keep"), rows)  # fmt: skip
    _say_floors(rows, setting.card)
    return 1 if failed or _missed(rows, setting.card) else 0


def _measured(setting: Setting, case: Case) -> dict[str, Any] | None:
    lengths = chat_lengths(case.tokens, case.longest)
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
                       "workdir": str(folder), "max_tokens_at_once": 16_384, "device": setting.device,
                       "compiled": case.compiled}  # fmt: skip
        command = [sys.executable, str(HERE / "measure.py")]
    path = folder / "task.json"
    path.write_text(json.dumps(task), encoding="utf-8")
    environment = os.environ | Settings().child_environment()
    done = subprocess.run(
        [*command, str(path)], env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        print(f"{case.name}: its process ended with {done.returncode}", flush=True)
        return None
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def _speed(told: dict[str, Any]) -> float | None:
    """Real tokens per second of the steps behind the first ones; None where there are none."""
    ends, seen = told["wall"][WARM_UP - 1 :], told["seen"][WARM_UP - 1 :]
    if len(ends) < 2 or len(ends) != len(seen):
        print(f"{len(told['wall'])} steps, tokens counted at {len(told['seen'])}: too few to say", flush=True)
        return None
    return float((seen[-1] - seen[0]) / (ends[-1] - ends[0]))


def _gib(peak: int) -> float | None:
    """The peer's is the card's: on the CPU it is not known, and unknown is not zero."""
    return peak / 2**30 if peak else None


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
