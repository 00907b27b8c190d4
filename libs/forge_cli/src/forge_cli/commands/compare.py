"""`forge compare`, and of `forge data` what concerns pairs: `pairs` and `shadow`."""

from __future__ import annotations

import os
import re
import sys
from typing import Annotated
from urllib.parse import urlsplit

import typer

from forge_cli import clients
from forge_cli.clients import Document
from forge_cli.console import DomainOption, JsonFlag, command, done, escape, note, out, print_json, table
from forge_cli.side_by_side import Comparison, plain, watch
from forge_common.contracts.compare import CompareRequest, Side, Teacher
from forge_common.errors import Cancelled, ForgeError, Invalid

# The URL ends with its version, what follows is the model: models' names may have slashes of their own.
_TEACHER = re.compile(r"(?P<url>https?://\S+?/v\d+[a-z0-9]*(?:/openai)?)/(?P<model>\S+)")
_KEYS = {"l": Side.LEFT, "r": Side.RIGHT}


class ComparisonStopped(Cancelled):
    """Called off by the person who asked."""


class ComparisonIncomplete(ForgeError):
    """There are no two whole answers."""


@command
def compare(
    prompt: Annotated[str, typer.Argument(help="What both are asked; `-` reads it from standard input.")],
    *,
    domain: DomainOption = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="URL/MODEL",
            help="An OpenAI-compatible model, e.g. https://api.openai.com/v1/gpt-5-mini, its key in "
            "FORGE_TEACHER_KEY, if FORGE_TEACHER_URL names no other host. Default: FORGE_TEACHER_URL and _MODEL.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A local model instead of the live one, e.g. engie-coder:v2. Given twice: these two, no teacher."
        ),
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="The longest answer.")] = 2048,
    pick: Annotated[bool, typer.Option("--pick/--no-pick", help="Ask which is better.")] = True,
    json_: JsonFlag = False,
) -> None:
    """Ask the teacher and the local model at once, side by side, and keep the pair.

    Two whole answers are stored; with one that failed, or after Ctrl-C, nothing is.
    """
    if prompt == "-":
        prompt = sys.stdin.read()
    if not prompt.strip():
        raise Invalid("the prompt is empty", fix='e.g. forge compare "what is a fjord?"')
    request = CompareRequest(
        prompt=prompt,
        domain=domain,
        teacher=_teacher(teacher),
        models=tuple(model or ()),
        max_tokens=max_tokens,
    )
    comparison = _ask(request, quiet=json_)
    if json_:
        print_json(comparison.document())
    if comparison.pair is None:
        _explain(comparison, quiet=json_)
    elif not json_:
        _finish(comparison, pick=pick)


@command
def pairs(
    *,
    domain: DomainOption = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 20,
    json_: JsonFlag = False,
) -> None:
    """Prompts that two models answered, and which of them won how often."""
    found = clients.CollectorClient().pairs(domain, limit)
    if json_:
        print_json(found)
        return
    rows = [[p["id"], p["domain"], _short(p["prompt"]), *_models(p)] for p in found["pairs"]]
    table("pair", "domain", "prompt", "left", "right", rows=rows)
    out.print()
    rows = [
        [*map(escape, t["models"]), str(t["pairs"]), *(str(wins) for wins in t["better"])]
        for t in found["tallies"]
    ]
    table("model", "against", "pairs >", "won >", "lost >", rows=rows)
    if not found["pairs"]:
        note('none yet: `forge compare "…"` makes one, `forge data shadow --rate 0.1` many')


@command
def shadow(
    *,
    rate: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of live prompts; 0 switches it off.")
    ] = None,
    daily_tokens: Annotated[int | None, typer.Option(min=0, help="Budget of a UTC day.")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, max=32, help="Calls at once.")] = None,
    answer_tokens: Annotated[int | None, typer.Option(min=16, help="The longest answer.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Let the model that was not used answer a share of your prompts, too. Off until you set a rate.

    What a cloud model answered, the local one answers again; what the local one answered, the teacher of
    FORGE_TEACHER_URL does. Prompts go out as they are stored: redacted.
    """
    wanted = {
        "rate": rate,
        "daily_tokens": daily_tokens,
        "concurrency": concurrency,
        "answer_tokens": answer_tokens,
    }
    change = {name: value for name, value in wanted.items() if value is not None}
    collector = clients.CollectorClient()
    found = collector.change_shadow(change) if change else collector.shadow()
    if json_:
        print_json(found)
        return
    _show_shadow(found)


def _teacher(given: str | None) -> Teacher | None:
    """The option, else the environment of this terminal, else what the collector was started with."""
    if given is not None:
        match = _TEACHER.fullmatch(given)
        if match is None:
            raise Invalid(
                f"--teacher {given} is no URL of a version and a model behind it",
                fix="e.g. --teacher https://api.openai.com/v1/gpt-5-mini",
            )
        return Teacher(url=match["url"], model=match["model"])
    url, model = os.environ.get("FORGE_TEACHER_URL"), os.environ.get("FORGE_TEACHER_MODEL")
    return Teacher(url=url, model=model) if url and model else None


def _key(teacher: Teacher | None) -> str | None:
    """The key of this terminal, unless its environment says that it is another host's."""
    configured = os.environ.get("FORGE_TEACHER_URL")
    if teacher is None or (configured and urlsplit(configured)[:2] != urlsplit(teacher.url)[:2]):
        return None
    return os.environ.get("FORGE_TEACHER_KEY")


def _ask(request: CompareRequest, *, quiet: bool) -> Comparison:
    events = clients.CollectorClient().compare(request, _key(request.teacher))
    comparison = Comparison()
    try:
        if quiet:
            comparison.take_all(events)
        else:
            watch(comparison, events, out)
    except KeyboardInterrupt:
        raise ComparisonStopped("stopped; both models were told, and nothing is stored") from None
    return comparison


def _explain(comparison: Comparison, *, quiet: bool) -> None:
    if quiet:
        raise typer.Exit(5)
    reason = comparison.unsaved or "the collector went away before the end"
    raise ComparisonIncomplete(f"not stored: {reason}", code="comparison_incomplete")


def _finish(comparison: Comparison, *, pick: bool) -> None:
    assert comparison.pair is not None
    done(f"stored as pair {comparison.pair.right}")
    if not pick or not (sys.stdin.isatty() and out.is_terminal):
        return
    out.print("Which is better? [bold]l[/] left · [bold]r[/] right · any other key: neither ", end="")
    try:
        better = _KEYS.get(typer.getchar().lower())
    except (KeyboardInterrupt, EOFError):
        better = None
    out.print(str(better or "neither"))
    if better is not None:
        clients.CollectorClient().pick(comparison.pair.right, better)
        done(f"{plain(comparison.halves[better].name)} was better")


def _models(pair: Document) -> list[str]:
    marks = {Side.LEFT: "left_model", Side.RIGHT: "right_model"}
    return [f"{escape(pair[name])}{' ✓' if pair['better'] == side else ''}" for side, name in marks.items()]


def _short(prompt: str) -> str:
    line = " ".join(plain(prompt).split())
    return escape(line if len(line) <= 48 else f"{line[:47]}…")


def _show_shadow(found: Document) -> None:
    books = found["books"]
    policy = books["policy"]
    state = f"on: {policy['rate']:.0%} of live prompts" if policy["rate"] else "off"
    out.print(f"shadow calls are [bold]{state}[/] · teacher: {escape(found['teacher'])}")
    note(
        f"today {books['tokens_today']} of {policy['daily_tokens']} tokens · under way {books['under_way']} of "
        f"{policy['concurrency']} · answers up to {policy['answer_tokens']} tokens"
    )
    for pause in books["pauses"]:
        note(f"{pause['answerer']} rests until {pause['until']}: {escape(plain(pause['reason']))}")
    rows = [[c["state"], escape(plain(c["reason"] or "")), str(c["calls"])] for c in books["calls"]]
    if rows:
        table("state", "reason", "calls >", rows=rows)
