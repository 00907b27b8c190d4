"""All benchmarks of the collector, one after the other; each prints its table.

    python services/collector/bench [--quick]

They share nothing but the machine, so whatever one of them leaves behind does not change the next. The status is that of
the first one that failed; the others run all the same.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
# Where a smoke test is asked for in another way.
QUICKLY = {"drain_bench.py": ("--exchanges", "2000", "--rounds", "1")}


def main() -> int:
    parser = argparse.ArgumentParser(prog="services/collector/bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a smoke test: the figures mean little")
    quick = parser.parse_args().quick
    codes = [_run(script, quick=quick) for script in sorted(HERE.glob("*_bench.py"))]
    return next((code for code in codes if code), 0)


def _run(script: Path, *, quick: bool) -> int:
    options = QUICKLY.get(script.name, ("--quick",)) if quick else ()
    return subprocess.run([sys.executable, str(script), *options], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
