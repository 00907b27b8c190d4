"""`python -m forge_evaluator` runs the worker; its other words are commands for one machine: `--help` lists them."""

from __future__ import annotations

import argparse
import sys
import warnings

from forge_common.errors import ForgeError
from forge_evaluator.commands import answers, bench, judging, practice
from forge_evaluator.events import Events
from forge_evaluator.sandbox import probe
from forge_evaluator.worker import main as run_worker

_INTERRUPTED = 130


def main() -> None:
    arguments = _parser().parse_args()
    events = Events(as_lines=arguments.events)
    # Models write invalid escapes; their warnings are not about our code.
    warnings.simplefilter("ignore", SyntaxWarning)
    try:
        status: int = arguments.run(arguments, events)
    except ForgeError as error:
        events.error(error)
        status = 1
    except KeyboardInterrupt:
        status = _INTERRUPTED
    sys.exit(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m forge_evaluator", description=__doc__)
    parser.add_argument("--events", action="store_true", help="progress, result and errors as JSON lines")
    parser.set_defaults(run=_worker)
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("worker", help="run the worker (the default)")
    commands.add_parser("sandbox", help="try the walls of this machine").set_defaults(run=_sandbox)
    bench.add(commands)
    answers.add(commands)
    practice.add(commands)
    judging.add(commands)
    return parser


def _worker(_: argparse.Namespace, __: Events) -> int:
    run_worker()
    return 0


def _sandbox(_: argparse.Namespace, __: Events) -> int:
    sys.stdout.write(probe().description + "\n")
    return 0


if __name__ == "__main__":
    main()
