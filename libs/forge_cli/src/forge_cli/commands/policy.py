"""`forge data policy`: whose answers may be trained on. `forge data assign`: which model belongs to which domain."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from forge_cli import clients
from forge_cli.bars import number
from forge_cli.console import JsonFlag, command, done, escape, note, out, print_json, table
from forge_common.errors import DependencyDown, Invalid

Document = dict[str, Any]


@command
def policy(
    *,
    allow: Annotated[str | None, typer.Option(help="These answers may be trained on, e.g. 'qwen*'.")] = None,
    deny: Annotated[
        str | None,
        typer.Option(
            help="These may not, e.g. 'claude-*', 'host=*.openai.com', 'origin=import', 'kind=restricted'."
        ),
    ] = None,
    remove: Annotated[str | None, typer.Option(help="Take back your rule with this pattern.")] = None,
    reason: Annotated[str | None, typer.Option(help="Kept with the rule, and in every dataset.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="Shipped rules too that fit nothing so far.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Whose answers may be trained on. Counts at once for everything that was ever captured; nothing is deleted.

    The first rule that fits decides: yours, the newest first, then those that came with the Forge.
    Turn off every teacher whose terms restrict training: --deny kind=restricted.
    """
    if sum(given is not None for given in (allow, deny, remove)) > 1:
        raise Invalid("one change at a time", fix="give one of --allow, --deny and --remove")
    collector = clients.CollectorClient()
    pattern = allow or deny
    if pattern is not None:
        rule = {"pattern": pattern, "eligible": allow is not None} | ({"reason": reason} if reason else {})
        effect = collector.put_rule(rule, dry_run=dry_run)
        _show_effect(effect, "may be trained on" if allow else "may not be trained on", as_json=json_)
    elif remove is not None:
        effect = collector.remove_rule(remove, dry_run=dry_run)
        _show_effect(effect, "has no rule of yours any more", as_json=json_)
    else:
        _show_policy(collector.policy(), everything=all_, as_json=json_)


@command
def assign(
    pattern: Annotated[
        str | None, typer.Argument(help="A model's name, e.g. 'claude-*', or 'host=…'.")
    ] = None,
    domain: Annotated[str | None, typer.Argument(help="Where its exchanges belong.")] = None,
    *,
    remove: Annotated[bool, typer.Option("--remove", help="Take back the rule with this pattern.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Which domain a model's exchanges belong to, where the request does not say. Without a pattern: the rules."""
    collector = clients.CollectorClient()
    if pattern is None:
        found = collector.model_rules()
    elif remove:
        found = collector.remove_model_rule(pattern)
    elif domain is None:
        raise Invalid("which domain?", fix=f"forge data assign '{pattern}' coding, or --remove")
    else:
        _check_domain(domain)
        found = collector.put_model_rule({"pattern": pattern, "domain": domain})
    if json_:
        print_json(found)
        return
    _show_model_rules(found)


def _show_policy(found: Document, *, everything: bool, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    shown = [r for r in found["rules"] if everything or r["source"] == "yours" or r["exchanges"]]
    rows = [
        [
            escape(rule["name"]) if rule["source"] == "yours" else f"[dim]{escape(rule['name'])}[/]",
            "yes" if rule["eligible"] else "[red]no[/]",
            number(rule["exchanges"]),
            rule.get("kind") or "",
            escape(rule["reason"]),
        ]
        for rule in shown
    ]
    table("teacher", "trained on", "exchanges >", "kind", "because", rows=rows)
    out.print()
    note(
        "the first that fits decides; yours come first, the newest on top, then those that came with the Forge (dim)"
    )
    if len(shown) < len(found["rules"]):
        note(f"{len(found['rules']) - len(shown)} more that came with it fit nothing so far: --all")
    note(
        "change: --allow PATTERN, --deny PATTERN [--reason …]; undo: --remove PATTERN; look first: --dry-run"
    )


def _show_effect(effect: Document, verdict: str, *, as_json: bool) -> None:
    if as_json:
        print_json(effect)
        return
    if effect["is_saved"]:
        done(f"{escape(effect['rule'])} {verdict}")
    else:
        out.print(f"would be saved: {escape(effect['rule'])} {verdict}")
    verb = "are" if effect["is_saved"] else "would be"
    for one in effect["domains"]:
        changes = [
            f"{number(one[name])} {verb} {words}"
            for name, words in (("allowed", "trained on again"), ("refused", "left out of datasets"))
            if one[name]
        ]
        note(f"{one['domain']}: " + ", ".join(changes))
    if not effect["domains"]:
        note(f"decides {number(effect['decides'])} exchanges so far; nothing changes for any of them")
    if effect["is_saved"]:
        note("from the next dataset on; `forge data policy` shows all rules")


def _check_domain(domain: str) -> None:
    try:
        known = [document.id for document in clients.registry().domains()]
    except DependencyDown:
        return
    if domain not in known:
        raise Invalid(f"there is no domain {domain!r}", fix=f"there are {', '.join(sorted(known))}")


def _show_model_rules(found: Document) -> None:
    rows = [[escape(rule["pattern"]), rule["domain"]] for rule in found["rules"]]
    if rows:
        table("model", "domain", rows=rows)
    note(f"{'everything else' if rows else 'no rules; everything'} goes to the active domain, {found['active_domain']}, "
         "unless the request names one")  # fmt: skip
