"""`python -m forge_evaluator` runs the worker; `… bench check FILE` tests a benchmark; `… sandbox` says which walls hold."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from forge_common.errors import ForgeError
from forge_evaluator.benchmarks import load
from forge_evaluator.benchmarks.selftest import check
from forge_evaluator.sandbox import Pool, probe
from forge_evaluator.worker import main as run_worker


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m forge_evaluator", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("worker", help="run the worker (the default)")
    commands.add_parser("sandbox", help="try the walls of this machine")
    bench = commands.add_parser("bench", help="benchmarks").add_subparsers(dest="action", required=True)
    bench.add_parser("check", help="load a file and run its self-test").add_argument("file", type=Path)
    arguments = parser.parse_args()
    try:
        sys.exit(_run(arguments))
    except ForgeError as error:
        sys.exit(f"forge-evaluator: {error}")


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command == "bench":
        return _check(arguments.file)
    if arguments.command == "sandbox":
        _say(probe().description)
        return 0
    run_worker()
    return 0


def _check(path: Path) -> int:
    benchmark = load(path)
    with Pool(probe()) as sandbox:
        flaws = check(benchmark, sandbox)
    found = {
        "manifest": benchmark.manifest.model_dump(),
        "sandbox": sandbox.tier.description,
        "flaws": [asdict(f) for f in flaws],
    }
    _say(json.dumps(found, indent=2))
    return 1 if flaws else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
