"""All benchmarks of the trainers, one after the other; each prints its table.

    python services/trainer-cuda/bench [--quick | --large]

The status is that of the first one that failed; the others run all the same. What needs a card is in `gpu/`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="services/trainer-cuda/bench", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="a smoke test: the figures mean little")
    parser.add_argument(
        "--large", action="store_true", help="more rows, all quantisations, all ways of running TRL"
    )
    given = parser.parse_args()
    options = [f"--{name}" for name in ("quick", "large") if getattr(given, name)]
    codes = [
        subprocess.run([sys.executable, str(script), *options], check=False).returncode
        for script in sorted(HERE.glob("*_bench.py"))
    ]
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main())
