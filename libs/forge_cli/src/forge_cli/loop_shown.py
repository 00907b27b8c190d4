"""What `forge status` says of the loop: captured, live and how good, under way, next. Says nothing of what is away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from forge_cli import clients, workers_shown
from forge_cli.bars import counted, number
from forge_cli.console import escape, note, out, table, when
from forge_common.contracts.base import utc_now
from forge_common.contracts.runs import RunView
from forge_common.errors import ForgeError

Found = dict[str, Any]

RUNS = 5


def ask() -> Found:
    """What the services know; each is optional, since status must answer when they are down."""
    found: Found = {}
    registry, collector = clients.registry(), clients.CollectorClient()
    _ask(
        found,
        {
            "domain": registry.active_domain,
            "document": lambda: registry.domain(found["domain"]),
            "pointers": lambda: registry.pointers().pointers,
            "live": lambda: [
                _live(registry.versions(p.domain)) for p in found["pointers"] if p.live is not None
            ],
            "runs": lambda: registry.runs()[:RUNS],
            "workers": registry.workers,
        },
    )
    _ask(found, {"capture": collector.health, "data": collector.stats})
    return found


def _ask(found: Found, questions: dict[str, Callable[[], Any]]) -> None:
    """Ask one service; once it does not answer, or refuses, it is asked no more, and that is said once."""
    for name, question in questions.items():
        try:
            found[name] = question()
        except ForgeError as error:
            found.setdefault("unreachable", []).append(error.message)
            return


def _live(versions: list[Any]) -> Any:
    return next(version for version in versions if version.is_live)


def show(found: Found, collector: str) -> None:
    if "domain" in found:
        out.print(f"\nactive domain [bold]{found['domain']}[/]")
    if "capture" in found:
        for line in capture_lines(found["capture"]):
            out.print(line)
    for line in captured(found.get("data", {})):
        out.print(line)
    if found.get("live"):
        out.print()
        table(
            "live",
            "score >",
            "made",
            rows=[[v.model, _score(v.score), when(v.created_at)] for v in found["live"]],
        )
    if shown := workers_shown.rows(found.get("workers", ()), utc_now()):
        out.print()
        table(*workers_shown.COLUMNS, rows=shown)
    if found.get("runs"):
        out.print()
        rows = [_run(run) for run in found["runs"]]
        table("run", "domain", "kind", "state", "verdict", "since", rows=rows)
    for line in found.get("unreachable", ()):
        note(f"[red]![/] {escape(line)}")
    if step := next_step(found, collector):
        out.print(f"\n[bold]next[/]  {step}")


def captured(data: Found) -> Iterator[str]:
    """How much was kept of each domain, and what of it no training has seen."""
    unused = {one["domain"]: one["usable"] for one in data.get("unused", ())}
    kept: dict[str, tuple[int, int]] = {}
    for count in data.get("exchanges", ()):
        exchanges, usable = kept.get(count["domain"], (0, 0))
        kept[count["domain"]] = exchanges + count["exchanges"], usable + count["usable"]
    for domain, (exchanges, usable) in sorted(kept.items(), key=lambda item: -item[1][0]):
        new = f", {number(unused[domain])} of them new since the last training" if domain in unused else ""
        yield f"captured {counted(exchanges, 'exchange')} of {domain}, {number(usable)} trainable{new}"


def next_step(found: Found, collector: str) -> str | None:
    """What a person would type now; None where there is nothing to wait for or too little is known."""
    domain = found.get("domain")
    if domain is None or "data" not in found or "document" not in found:
        return None
    for run in found.get("runs", ()):
        if run.domain == domain and not run.state.is_final:
            return f"`forge runs attach {run.id}` watches the run, `forge runs cancel {run.id}` ends it"
    usable = sum(one["usable"] for one in found["data"]["exchanges"] if one["domain"] == domain)
    new = next((one["usable"] for one in found["data"]["unused"] if one["domain"] == domain), usable)
    need = found["document"].data.min_examples
    if not usable:
        return f"point a tool at the collector ({collector}/v1), or `forge data import FILE`"
    if usable < need:
        return f"a training needs {need} examples at least, and {domain} has {usable}: go on working"
    if new >= need:
        return f"`forge train` learns from what is new: {number(new)} exchanges"
    return None


def capture_lines(health: Found) -> list[str]:
    """Whether traffic is kept; what was lost since the collector started is never left out."""
    waiting = f"{health['backlog_bytes'] / 1e6:.1f} MB wait to be stored, the oldest for {health['backlog_s']:.0f} s"
    is_ok = health["status"] == "ok"
    lines = ["capture [green]ok[/]" if is_ok else f"capture [bold red]{health['status']}[/] · {waiting}"]
    lines += [f"  [red]{reason}[/]: {text}" for reason, text in health["reasons"].items()]
    lost = {reason: count for reason, count in health["lost"].items() if reason != "spool"} | health[
        "dropped"
    ]
    if lost:
        reasons = ", ".join(f"{reason} {count}" for reason, count in lost.items())
        lines.append(f"  [bold red]{sum(lost.values())} exchanges were not kept[/]: {reasons}")
    if health["rejected"]:
        lines.append(
            f"  [yellow]{health['rejected']} records were set aside[/] in rejected.jsonl of the spool's folder"
        )
    return lines


def _score(score: float | None) -> str:
    return "not judged" if score is None else f"{score:.1f}"


def _run(run: RunView) -> list[str]:
    return [
        run.id, run.domain, str(run.kind), str(run.state), str(run.verdict or ""), when(run.created_at)
    ]  # fmt: skip
