"""The evaluator's measurements, one after the other; each prints its table.

    python services/evaluator/bench [--quick]

A part that fails fails the whole; the others run all the same.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

PARTS = ["sandbox_bench.py", "gate_bench.py", "extraction_bench.py", "metamorphic_bench.py"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="services/evaluator/bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a smoke test: the figures mean little")
    options = ["--quick"] if parser.parse_args().quick else []
    codes = [_run(part, options) for part in PARTS]
    return next((code for code in codes if code), 0)


def _run(part: str, options: list[str]) -> int:
    return subprocess.run(
        [sys.executable, str(Path(__file__).parent / part), *options], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
