"""`forge data exchanges` and `forge data feedback`: what was captured, as it is kept, and what a person says of it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from forge_cli import clients
from forge_cli.commands.stats import Since, local_time, moment
from forge_cli.console import JsonFlag, command, done, escape, note, out, print_json
from forge_common.contracts.exchange import Message
from forge_common.errors import Invalid

Document = dict[str, Any]

# Of one message, unless everything is asked for.
SHOWN = 2000
# A captured text must not steer the terminal of whoever reads it.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@command
def exchanges(
    exchange: Annotated[str | None, typer.Argument(help="The id of one, to see all of it.")] = None,
    *,
    domain: Annotated[str | None, typer.Option(help="Only this domain.")] = None,
    origin: Annotated[str | None, typer.Option(help="Only what came by this way: proxy, import …")] = None,
    model: Annotated[str | None, typer.Option(help="A part of the model's name, or e.g. 'qwen*'.")] = None,
    conversation: Annotated[str | None, typer.Option(help="Only this conversation.")] = None,
    task: Annotated[str | None, typer.Option(help="coding, reasoning, tools or chat.")] = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many, the newest first.")] = 20,
    before: Annotated[str | None, typer.Option(help="Go on after this id.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Long messages whole.")] = False,
    json_: JsonFlag = False,
) -> None:
    """What was captured, the newest first; or one exchange with its messages, its feedback, and whether it is trained on."""
    collector = clients.CollectorClient()
    collector.drain()
    if exchange is not None:
        found = collector.exchange(exchange)
        print_json(found) if json_ else _show(found, full=full)
        return
    where = {
        "domain": domain, "origin": origin, "model": model, "conversation": conversation, "task_type": task,
        "since": moment(since), "limit": limit, "before": before,
    }  # fmt: skip
    page = collector.exchanges({name: value for name, value in where.items() if value is not None})
    if json_:
        print_json(page)
        return
    for one in page["exchanges"]:
        _show_line(one)
    if not page["exchanges"]:
        out.print("nothing fits")
    elif page["next"]:
        note(f"more: --before {page['next']}")


@command
def feedback(
    exchange: Annotated[
        str, typer.Argument(help="The exchange's id; a reply carries it as x-forge-exchange-id.")
    ],
    *,
    up: Annotated[bool, typer.Option("--up", help="A good answer.")] = False,
    down: Annotated[bool, typer.Option("--down", help="A bad one: it is not trained on.")] = False,
    corrected: Annotated[
        Path | None,
        typer.Option(
            help="A file with what the answer should have been; - reads it from stdin. It is trained on instead."
        ),
    ] = None,
    note_: Annotated[str | None, typer.Option("--note", help="For people; it changes nothing.")] = None,
    json_: JsonFlag = False,
) -> None:
    """Say what you think of an answer. The last word holds: a later thumb down takes a correction back."""
    if up and down:
        raise Invalid("an answer is good or bad", fix="give --up or --down, or a correction")
    said = {
        "exchange_id": exchange,
        "thumb": 1 if up else -1 if down else None,
        "corrected": _read(corrected) if corrected else None,
        "note": note_,
    }
    collector = clients.CollectorClient()
    collector.drain()
    # Feedback may be quicker than the exchange that it is about; a person's typing is not, so an unknown id is a mistake.
    collector.exchange(exchange)
    collector.give_feedback({name: value for name, value in said.items() if value is not None})
    found = collector.exchange(exchange)
    if json_:
        print_json(found)
        return
    done(f"noted; {_verdict(found['exchange'])}")


def _read(path: Path) -> str:
    """Raises Invalid."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot read {path}: {error}", fix="give a text file in UTF-8") from error
    if not text.strip():
        raise Invalid(f"{path} is empty", fix="write the corrected answer into it; --down refuses an answer")
    return text.rstrip("\n")


def _show_line(one: Document) -> None:
    out.print(
        f"[bold]{one['id']}[/]  {local_time(one['captured_at'])}  {_plain(one['domain'])} · {one['origin']} · "
        f"{_plain(_model(one))} · {_plain(one.get('task_type') or '–')}{_marks(one)}",
        soft_wrap=True,
    )
    prompt = next((_message(m).text() for m in reversed(one["messages"]) if m["role"] == "user"), "")
    width = max(40, out.width - 4)
    line = " ".join(prompt[: 4 * width].split())
    out.print(f"    [dim]{_plain(line[: width - 1] + '…' if len(line) > width else line)}[/]", soft_wrap=True)


def _show(found: Document, *, full: bool) -> None:
    one = found["exchange"]
    usage = one.get("usage") or {}
    facts = {
        "captured": local_time(one["captured_at"], "%d %b %Y %H:%M:%S"),
        "domain": f"{one['domain']} · came by {one['origin']} · {one.get('task_type') or 'task type unknown'}",
        "conversation": one["conversation_id"],
        "model": f"{_model(one)} · {one['dialect']}"
        + (f" · {one['upstream']}" if one.get("upstream") else ""),
        "ended": f"{one.get('finish_reason') or '–'} · status {one['status']}"
        + ("" if one["complete"] else " · broke off"),
        "tokens": f"{usage.get('prompt_tokens') or '–'} in, {usage.get('completion_tokens') or '–'} out",
        "trained on": _verdict(one),
        "datasets": ", ".join(found["datasets"]) or "in none",
    }
    out.print(f"[bold]{one['id']}[/]")
    for name, value in facts.items():
        out.print(f"  [dim]{name:<13}[/]{_plain(value)}", soft_wrap=True)
    for message in (*one["messages"], one["answer"]):
        _show_message(_message(message), full=full)
    for said in found["feedback"]:
        _show_feedback(said)


def _show_message(message: Message, *, full: bool) -> None:
    out.print(f"\n[bold cyan]{_plain(message.role)}[/]")
    texts = [message.text()]
    if message.thinking:
        texts.insert(0, f"(thinking) {message.thinking}")
    texts += [f"→ calls {_called(call)}" for call in message.tool_calls or ()]
    for text in texts:
        if text:
            shown = text if full or len(text) <= SHOWN else text[:SHOWN]
            out.print(_plain(shown), soft_wrap=True)
            if len(shown) < len(text):
                note(f"… {len(text) - len(shown):,} more characters: --full")


def _show_feedback(said: Document) -> None:
    words = [{1: "good", -1: "bad"}.get(said.get("thumb") or 0, ""), said.get("note") or ""]
    if said.get("corrected") is not None:
        words.append(
            f"should have been: {said['corrected']}" if said["corrected"] else "correction taken back"
        )
    out.print(f"\n[bold green]you, {local_time(said['at'])}[/]")
    out.print(_plain("\n".join(filter(None, words))), soft_wrap=True)


def _verdict(one: Document) -> str:
    if one.get("corrected"):
        return "yes: your correction is, instead of the answer"
    if one.get("thumb") == -1:
        return "no: you said that the answer is bad"
    if one["status"] != 200 or not one["complete"]:
        return "no: there is no whole answer"
    return f"{'yes' if one['eligible'] else 'no'}: {one['reason']} ({one['rule']})"


def _marks(one: Document) -> str:
    marks = [
        {1: "[green]good[/]", -1: "[red]bad[/]"}.get(one.get("thumb") or 0),
        "[green]corrected[/]" if one.get("corrected") else None,
        None if one["complete"] else "[yellow]broke off[/]",
        f"[yellow]status {one['status']}[/]" if one["status"] != 200 else None,
        None if one["eligible"] else "[red]not trained on[/]",
    ]
    return "".join(f" · {mark}" for mark in marks if mark)


def _model(one: Document) -> str:
    return one.get("model_served") or one.get("model_asked") or "model unknown"


def _called(call: Document) -> str:
    function = call.get("function") or {}
    return f"{function.get('name', '?')}({function.get('arguments', '')})"


def _message(document: Document) -> Message:
    return Message.model_validate(document)


def _plain(text: str) -> str:
    return escape(_CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text))
