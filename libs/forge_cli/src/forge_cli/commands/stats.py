"""`forge data` without a subcommand: what was captured, what of it may be trained on, what is new since the last training."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

import typer

from forge_cli import clients
from forge_cli.bars import ago, bar, number, share, sparkline
from forge_cli.console import JsonFlag, command, escape, note, out, print_json, table, when
from forge_common.errors import Invalid

Document = dict[str, Any]

DAYS = 30
WORDS = {
    "task": "task_type",
    "eligibility": "eligible",
    "upstream": "host",
    "teacher": "rule",
}
DIMENSIONS = ("day", "domain", "origin", "host", "model", "task_type", "kind", "rule", "eligible")
_HEADINGS = {
    "origin": "came by",
    "task_type": "task type",
    "kind": "teacher is",
    "rule": "decided by",
    "eligible": "may be trained on",
}

Since = Annotated[str | None, typer.Option("--since", help="Only what is newer: 7d, 24h, 2w, 2026-11-01.")]


@command
def stats(
    context: typer.Context,
    *,
    by: Annotated[
        list[str] | None, typer.Option("--by", help=f"Count by {', '.join(DIMENSIONS)}; may be repeated.")
    ] = None,
    domain: Annotated[str | None, typer.Option("--domain", help="Only this domain.")] = None,
    origin: Annotated[
        str | None, typer.Option("--origin", help="Only what came by this way: proxy, import …")
    ] = None,
    since: Since = None,
    json_: JsonFlag = False,
) -> None:
    """Without a subcommand: what has been captured."""
    if context.invoked_subcommand is not None:
        return
    where = {"domain": domain, "origin": origin, "since": moment(since), "utc_offset": utc_offset()}
    asked = {name: value for name, value in where.items() if value is not None}
    dimensions = [dimension(word) for words in by or () for word in words.split(",")]
    collector = clients.CollectorClient()
    if dimensions or json_:
        found = collector.stats(asked | ({"by": dimensions} if dimensions else {}))
        if json_:
            print_json(found)
        else:
            _show_counts(found)
    else:
        _show_overview(collector, asked)


def dimension(word: str) -> str:
    """Raises Invalid."""
    name = WORDS.get(word, word)
    if name not in DIMENSIONS:
        raise Invalid(f"cannot count by {word!r}", fix=f"count by {', '.join(DIMENSIONS)}")
    return name


def moment(since: str | None) -> str | None:
    """Raises Invalid."""
    if since is None:
        return None
    found = ago(since, datetime.now(UTC))
    if found is None:
        raise Invalid(f"cannot read the time {since!r}", fix="write 7d, 24h, 2w or a day such as 2026-11-01")
    return found.isoformat()


def utc_offset() -> int:
    """Minutes; so that a day is our day."""
    offset = datetime.now().astimezone().utcoffset() or timedelta()
    return int(offset.total_seconds() // 60)


def local_time(text: str, form: str = "%d %b %H:%M") -> str:
    return when(datetime.fromisoformat(text), form)


def _show_overview(collector: clients.CollectorClient, asked: Document) -> None:
    found = collector.stats(asked | {"by": ["domain", "origin", "kind"]})
    counts = found["exchanges"]
    total = sum(c["exchanges"] for c in counts)
    if not total:
        out.print("nothing was captured yet" if len(asked) == 1 else "nothing fits")
        note(
            "point a tool's base URL at the collector (`forge status` says where), or `forge data import FILE`"
        )
        _show_health(found)
        return
    eligible = sum(c["eligible_exchanges"] for c in counts)
    out.print(
        f"[bold]{number(total)}[/] exchanges, {number(eligible)} ({share(eligible, total)}) may be trained on as to who answered"
    )
    out.print()
    _show_domains(found)
    out.print()
    _show_days(collector, asked)
    _show_origins(counts)
    _show_teachers(counts)
    _show_health(found)


def _show_domains(found: Document) -> None:
    unused = {one["domain"]: one for one in found["unused"]}
    totals: dict[str, Counter[str]] = {}
    for count in found["exchanges"]:
        numbers = {key: value for key, value in count.items() if isinstance(value, int)}
        totals.setdefault(count["domain"], Counter()).update(numbers)
    rows = [
        [
            f"{name}{' *' if name == found['active_domain'] else ''}",
            number(total["exchanges"]),
            number(total["usable"]),
            number(unused[name]["usable"]) if name in unused else "–",
            _since_training(unused.get(name)),
        ]
        for name, total in sorted(totals.items(), key=lambda item: -item[1]["exchanges"])
    ]
    table("domain", "exchanges >", "trainable >", "new >", "since the last training", rows=rows)


def _since_training(unused: Document | None) -> str:
    if unused is None:
        return ""
    since = local_time(unused["since"]) if unused.get("since") else ""
    return {
        "training": f"of {since}",
        "prepared": f"dataset of {since}; whether it was trained on, the registry (away) knows",
        "never": "never trained",
        "unknown": "unknown: the registry is away"
        if not unused.get("dataset")
        else "unknown: its dataset was built elsewhere",
    }[unused["basis"]]


def _show_days(collector: clients.CollectorClient, asked: Document) -> None:
    today = datetime.now().astimezone().date()
    first = today - timedelta(days=DAYS - 1)
    begin = datetime.combine(first, datetime.min.time()).astimezone(UTC).isoformat()
    found = collector.stats({"since": begin} | asked | {"by": ["day"]})["exchanges"]
    on = {date.fromisoformat(c["day"]): c["exchanges"] for c in found}
    values = [on.get(first + timedelta(days=i), 0) for i in range(DAYS)]
    if any(values):
        busiest = max(range(DAYS), key=values.__getitem__)
        out.print(
            f"last {DAYS} days  {sparkline(values)}  {number(sum(values))}, today {number(values[-1])}; "
            f"most on {first + timedelta(days=busiest):%d %b}: {number(values[busiest])}"
        )


def _show_origins(counts: list[Document]) -> None:
    by: Counter[str] = Counter()
    for count in counts:
        by[count["origin"]] += count["exchanges"]
    out.print("came by       " + " · ".join(f"{name} {number(n)}" for name, n in by.most_common()))


def _show_teachers(counts: list[Document]) -> None:
    restricted = [c for c in counts if c["kind"] == "restricted"]
    trained_on = sum(c["eligible_exchanges"] for c in restricted)
    refused = sum(c["exchanges"] - c["eligible_exchanges"] for c in counts)
    if trained_on:
        note(
            f"{number(trained_on)} answers are of teachers whose terms restrict training and are used by your decision: `forge data policy`"
        )
    if refused:
        note(f"{number(refused)} answers are left out of datasets by your rules: `forge data policy`")


def _show_health(found: Document) -> None:
    waiting, lost = found["backlog_bytes"], sum(found["capture"].get("lost", {}).values())
    note(
        f"active domain {found['active_domain']} (*) · {number(waiting)} bytes on their way to Postgres · {number(lost)} lost"
    )


def _show_counts(found: Document) -> None:
    by, counts = found["by"], found["exchanges"]
    if by[0] != "day":
        counts = sorted(counts, key=lambda count: -count["exchanges"])
    largest = max((count["exchanges"] for count in counts), default=0)
    rows = [
        [
            *(_named(name, count.get(name)) for name in by),
            number(count["exchanges"]),
            number(count["eligible_exchanges"]),
            number(count["partial"]),
            bar(count["exchanges"], largest),
        ]
        for count in counts
    ]
    headings = [_HEADINGS.get(name, name) for name in by]
    table(*headings, "exchanges >", "eligible >", "partial >", "", rows=rows)
    note("eligible: may be trained on as to who answered; `forge data policy` says why")


def _named(name: str, value: object) -> str:
    if name == "eligible":
        return "yes" if value else "no"
    return escape(str(value)) if value else "–"
