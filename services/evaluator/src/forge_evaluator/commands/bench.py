"""`bench import`, `bench list` and `bench check`: benchmark files made, shown, and tested before they may be used."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from forge_common.errors import ForgeError
from forge_evaluator.benchmarks import BenchmarkUnusable, Task, load, manifest, practice, read, shipped
from forge_evaluator.benchmarks.load import practice_names, shipped_manifest, shipped_names
from forge_evaluator.benchmarks.overlap import overlaps
from forge_evaluator.benchmarks.selftest import check
from forge_evaluator.commands.answers import weights_of
from forge_evaluator.events import Events
from forge_evaluator.imports import ADAPTERS
from forge_evaluator.imports.convert import Imported, convert
from forge_evaluator.settings import Settings
from forge_evaluator.walls import walls_for

Commands = Any
"""argparse's subparsers, whose type has no public name."""


def add(commands: Commands) -> None:
    bench = commands.add_parser("bench", help="benchmarks").add_subparsers(dest="action", required=True)
    checking = bench.add_parser(
        "check", help="load a file, run its self-test, look for overlap with practice"
    )
    checking.add_argument("file", type=Path)
    checking.add_argument(
        "--practice", type=Path, help="practice tasks (default: the shipped ones of that name)"
    )
    checking.add_argument("--document", type=Path, help="the domain document whose weights score")
    checking.add_argument("--out", type=Path, help="write the tasks that pass to this file")
    checking.set_defaults(run=_check)
    writing = bench.add_parser("manifest", help="write NAME.manifest.json beside NAME.jsonl")
    writing.add_argument("file", type=Path)
    for option in ("--version", "--licence", "--description"):
        writing.add_argument(option)
    writing.set_defaults(run=_manifest)
    importing = bench.add_parser("import", help="make a benchmark of a public file")
    importing.add_argument("name", choices=ADAPTERS)
    importing.add_argument("file", type=Path)
    importing.add_argument("--out", type=Path, required=True)
    importing.add_argument("--licence")
    importing.add_argument("--rejected", type=Path, help="write every refused record's line and reason here")
    importing.set_defaults(run=_import)
    listing = bench.add_parser("list", help="the shipped benchmarks, and the given files")
    listing.add_argument("files", type=Path, nargs="*")
    listing.set_defaults(run=_list)


def _check(arguments: argparse.Namespace, events: Events) -> int:
    benchmark = load(arguments.file)
    _, weights = weights_of(arguments.document)
    with walls_for(benchmark.tasks, Settings()) as (sandbox, description):
        tested = check(
            benchmark, sandbox, weights, told=lambda done, of: events.progress("testing the tasks", done, of)
        )
    shared = overlaps(_practice(arguments.practice), benchmark.tasks)
    bad = {flaw.task for flaw in tested.flaws} | {overlap.task for overlap in shared}
    written = None if arguments.out is None else _without(arguments.file, bad, arguments.out)
    events.result(
        {
            "written": written,
            "contents": benchmark.contents.model_dump(mode="json"),
            "sandbox": description,
            **tested.model_dump(mode="json"),
            "overlaps": [asdict(overlap) for overlap in shared],
        }
    )
    return 1 if tested.flaws or tested.untested or shared else 0


def _without(source: Path, bad: set[str], out: Path) -> dict[str, Any]:
    """The lines of `source` whose tasks are not `bad`, as they are, with a manifest of their own."""
    lines = [line for line in source.read_text(encoding="utf-8").split("\n") if line.strip()]
    kept = [line for line in lines if json.loads(line)["id"] not in bad]
    if not kept:
        raise BenchmarkUnusable(
            "no task passes the self-test", fix="nothing was written; see the flaws without --out"
        )
    out.write_text("\n".join(kept) + "\n", encoding="utf-8")
    before = manifest.beside(source)
    said = manifest.parse(before.read_bytes(), source.stem) if before.is_file() else None
    manifest.beside(out).unlink(missing_ok=True)
    manifest.write(
        out,
        load(out).contents,
        licence=said.licence if said else None,
        description=(said.description if said else source.stem)
        + ", without the tasks that fail their self-test",
    )
    return {"file": str(out), "tasks": len(kept), "left_out": sorted(bad)}


def _practice(path: Path | None) -> list[Task]:
    """All that is shipped, by default: a model practises every domain."""
    if path is not None:
        return list(load(path).tasks)
    return [task for name in practice_names() for task in read(practice(name)).tasks]


def _manifest(arguments: argparse.Namespace, events: Events) -> int:
    path: Path = arguments.file
    benchmark = read(path.read_bytes()) if path.is_file() else load(path)
    written = manifest.write(
        path,
        benchmark.contents,
        version=arguments.version,
        licence=arguments.licence,
        description=arguments.description,
    )
    events.result(written.model_dump(mode="json"))
    return 0


def _import(arguments: argparse.Namespace, events: Events) -> int:
    imported = convert(
        arguments.name,
        arguments.file,
        arguments.out,
        licence=arguments.licence,
        told=lambda tasks, position, size: events.progress(f"{tasks:,} tasks", position, size),
    )
    if arguments.rejected is not None:
        lines = [json.dumps(asdict(refused), ensure_ascii=False) + "\n" for refused in imported.refused]
        arguments.rejected.write_text("".join(lines), encoding="utf-8")
    events.result(_summary(imported))
    return 0


def _summary(imported: Imported) -> dict[str, Any]:
    assert imported.manifest is not None
    first: dict[str, int] = {}
    for refused in imported.refused:
        first.setdefault(refused.reason, refused.line)
    return {
        "file": str(imported.file),
        "records": imported.records,
        "tasks": imported.tasks,
        "refused": [
            {"reason": reason, "records": count, "first_line": first[reason]}
            for reason, count in imported.reasons.items()
        ],
        "needs_judge": imported.needs_judge,
        "manifest": imported.manifest.model_dump(mode="json"),
    }


def _list(arguments: argparse.Namespace, events: Events) -> int:
    found = [_shipped(name) for name in shipped_names()]
    events.result({"shipped": found, "files": [_described(path) for path in arguments.files]})
    return 0


def _shipped(name: str) -> dict[str, JsonValue]:
    """One that is broken is shown as such, beside the others."""
    try:
        described: dict[str, JsonValue] = shipped_manifest(name).model_dump(mode="json")
    except ForgeError:
        try:
            described = read(shipped(name)).contents.model_dump(mode="json")
        except ForgeError as error:
            return {"name": name, "error": error.message}
    return described | {"name": name}


def _described(path: Path) -> dict[str, JsonValue]:
    try:
        contents: dict[str, JsonValue] = load(path).contents.model_dump(mode="json")
    except (ForgeError, OSError) as error:
        return {"file": str(path), "error": str(error)}
    return contents | {"file": str(path)}
