"""`python -m forge_evaluator` runs the worker; `… bench check FILE` tests a benchmark, `… bench manifest FILE` describes it.

`… sandbox` says which walls hold.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from forge_common.errors import ForgeError
from forge_evaluator.benchmarks import Task, load, manifest, practice, read
from forge_evaluator.benchmarks.load import practice_names
from forge_evaluator.benchmarks.overlap import overlaps
from forge_evaluator.benchmarks.selftest import check
from forge_evaluator.sandbox import Pool, probe
from forge_evaluator.worker import main as run_worker


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m forge_evaluator", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("worker", help="run the worker (the default)")
    commands.add_parser("sandbox", help="try the walls of this machine")
    bench = commands.add_parser("bench", help="benchmarks").add_subparsers(dest="action", required=True)
    checking = bench.add_parser(
        "check", help="load a file, run its self-test, look for overlap with practice"
    )
    checking.add_argument("file", type=Path)
    checking.add_argument(
        "--practice", type=Path, help="practice tasks (default: the shipped ones of that name)"
    )
    writing = bench.add_parser("manifest", help="write NAME.manifest.json beside NAME.jsonl")
    writing.add_argument("file", type=Path)
    for option in ("--version", "--licence", "--description"):
        writing.add_argument(option)
    arguments = parser.parse_args()
    try:
        sys.exit(_run(arguments))
    except ForgeError as error:
        sys.exit(f"forge-evaluator: {error}")


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command == "bench":
        return _manifest(arguments) if arguments.action == "manifest" else _check(arguments)
    if arguments.command == "sandbox":
        _say(probe().description)
        return 0
    run_worker()
    return 0


def _manifest(arguments: argparse.Namespace) -> int:
    path: Path = arguments.file
    benchmark = read(path.read_bytes()) if path.is_file() else load(path)
    written = manifest.write(
        path,
        benchmark.contents,
        version=arguments.version,
        licence=arguments.licence,
        description=arguments.description,
    )
    _say(written.model_dump_json(indent=2))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    path: Path = arguments.file
    benchmark = load(path)
    with Pool(probe()) as sandbox:
        flaws = check(benchmark, sandbox)
    shared = overlaps(_practice(arguments.practice), benchmark.tasks)
    found = {
        "contents": benchmark.contents.model_dump(),
        "sandbox": sandbox.tier.description,
        "flaws": [asdict(flaw) for flaw in flaws],
        "overlaps": [asdict(overlap) for overlap in shared],
    }
    _say(json.dumps(found, indent=2))
    return 1 if flaws or shared else 0


def _practice(path: Path | None) -> list[Task]:
    """All that is shipped, by default: a model practises every domain."""
    if path is not None:
        return list(load(path).tasks)
    return [task for name in practice_names() for task in read(practice(name)).tasks]


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
