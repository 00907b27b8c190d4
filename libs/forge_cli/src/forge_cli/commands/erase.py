"""`forge data erase`: shows what would go, asks, and erases for good."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from forge_cli import clients
from forge_cli.bars import counted
from forge_cli.console import JsonFlag, command, done, escape, note, out, print_json, table
from forge_common.errors import Invalid

_AGE = re.compile(r"(\d+)([dwmy])")
_DAYS = {"d": 1, "w": 7, "m": 30, "y": 365}


@command
def erase(
    *,
    conversation: Annotated[str | None, typer.Option(help="The exchanges of this conversation.")] = None,
    text: Annotated[str | None, typer.Option(help="Exchanges and notes that contain exactly this.")] = None,
    exchange: Annotated[str | None, typer.Option(help="One exchange, by id.")] = None,
    before: Annotated[datetime | None, typer.Option(help="Captured before this day.")] = None,
    older_than: Annotated[
        str | None, typer.Option(help="Captured longer ago than e.g. 90d, 12w, 6m, 1y.")
    ] = None,
    domain: Annotated[str | None, typer.Option(help="Only of this domain.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Erase captured exchanges for good: rows, spool, feedback, membership in datasets."""
    given = {
        "conversation": conversation,
        "text": text,
        "exchange": exchange,
        "before": _before(before, older_than),
        "domain": domain,
    }
    selection = {name: value for name, value in given.items() if value is not None}
    if not selection.keys() - {"domain"}:
        raise Invalid(
            "say what to erase",
            fix="--conversation, --text, --exchange, --before or --older-than; --dry-run only looks",
        )
    collector = clients.CollectorClient()
    found = collector.erase(selection | {"dry_run": True})
    if not dry_run and _finds_anything(found):
        if not yes:
            if json_:
                raise Invalid("--json erases only with --yes", fix="look with --dry-run, then add --yes")
            _show(found, "would go")
            typer.confirm("Erase for good?", abort=True)
        found = collector.erase(selection)
    if json_:
        print_json(found)
        return
    _show(found, "would go" if dry_run else "erased")
    if text is not None and not _finds_anything(found):
        note("secrets and personal data were replaced before anything was stored: look for another text")


def _finds_anything(found: dict[str, Any]) -> bool:
    return any(found[kind] for kind in ("exchanges", "feedback", "set_aside", "unreadable"))


def _before(before: datetime | None, older_than: str | None) -> str | None:
    if older_than is None:
        return before.astimezone(UTC).isoformat() if before else None
    age = _AGE.fullmatch(older_than)
    if age is None or before is not None:
        raise Invalid(
            f"cannot read the age {older_than!r}"
            if before is None
            else "--before and --older-than say the same",
            fix="one of them, an age as 90d, 12w, 6m or 1y",
        )
    days = int(age[1]) * _DAYS[age[2]]
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()


def _show(found: dict[str, Any], verb: str) -> None:
    if not _finds_anything(found):
        out.print("nothing fits")
        return
    counts = (
        f"{counted(found['exchanges'], 'exchange')} of {counted(found['conversations'], 'conversation')}, "
        f"{counted(found['feedback'], 'note')}"
    )
    if found["set_aside"]:
        counts += f", {counted(found['set_aside'], 'record')} that could not be stored"
    if found["unreadable"]:
        counts += f", {counted(found['unreadable'], 'damaged spool file')} that nothing can look into"
    (done if verb == "erased" else out.print)(f"{verb}: {counts}")
    if found["datasets"]:
        out.print(
            f"datasets that held some of it go whole ({len(found['datasets'])}); the next training builds anew"
        )
    _show_versions(found["versions"])
    for dataset, reason in found["pending"].items():
        note(
            f"dataset {dataset[:12]}\u2026 still lies in the registry and is tried again every minute: {reason}"
        )


def _show_versions(versions: list[dict[str, Any]] | None) -> None:
    if versions is None:
        note("the registry could not say which versions were trained on it")
    elif versions:
        rows = [[escape(v["model"]), "live" if v["is_live"] else ""] for v in versions]
        table("trained on it", "", rows=rows)
        note("a version that learnt from it may still know it: `forge train`, then stop using the old ones")
