"""`forge promote`, `forge rollback`, `forge versions`."""

from __future__ import annotations

from typing import Annotated

import typer

from forge_cli import clients
from forge_cli.console import DomainOption, JsonFlag, command, done, note, out, print_json, table, when
from forge_common.contracts.runs import PromoteRequest, PromotionView, RollbackRequest
from forge_common.errors import Invalid


@command
def promote(
    version: Annotated[str, typer.Argument(help="Which version, e.g. 3 or v3.")],
    *,
    domain: DomainOption = None,
    reason: Annotated[str, typer.Option(help="Kept in the history.")] = "promoted by hand",
    json_: JsonFlag = False,
) -> None:
    """Make a version live: `:latest` answers with it within a second. One that the engine lost is deployed again first."""
    registry = clients.registry()
    request = PromoteRequest(version=number(version), reason=reason)
    _show(registry.promote(clients.domain(domain), request), as_json=json_)


@command
def rollback(
    *,
    domain: DomainOption = None,
    to: Annotated[str | None, typer.Option(help="Which version; default: what was live before.")] = None,
    reason: Annotated[str, typer.Option(help="Kept in the history.")] = "rolled back by hand",
    json_: JsonFlag = False,
) -> None:
    """Go back to what was live before."""
    registry = clients.registry()
    request = RollbackRequest(to=None if to is None else number(to), reason=reason)
    _show(registry.rollback(clients.domain(domain), request), as_json=json_)


@command
def versions(*, domain: DomainOption = None, json_: JsonFlag = False) -> None:
    """All versions of a domain, and how the pointer moved."""
    registry = clients.registry()
    chosen = clients.domain(domain)
    found, moves = registry.versions(chosen), registry.promotions(chosen)
    if json_:
        print_json({"versions": found, "promotions": moves})
        return
    if not found:
        out.print(f"{chosen} has no version yet: its first `forge train` makes v0, the bare base, and v1")
        return
    rows = [
        [
            "→" if v.is_live else "",
            f"v{v.number}",
            v.model,
            "–" if v.score is None else f"{v.score:.1f}",
            when(v.created_at),
        ]
        for v in found
    ]
    table("", "version", "model", "score >", "made", rows=rows)
    for move in moves[:10]:
        before = "nothing" if move.previous is None else f"v{move.previous}"
        note(f"{when(move.at, '%d %b %H:%M:%S')} {move.kind}: {before} → v{move.version} · {move.reason}")


def number(text: str) -> int:
    """`3`, `v3` or `engie-coder:v3`."""
    digits = text.rpartition(":v")[2].removeprefix("v")
    if not digits.isdigit():
        raise Invalid(f"{text!r} is no version", fix="write 3 or v3; `forge versions` lists them")
    return int(digits)


def _show(move: PromotionView, *, as_json: bool) -> None:
    if as_json:
        print_json(move)
        return
    previous = "nothing" if move.previous is None else f"v{move.previous}"
    done(f"{move.domain}: v{move.version} is live (before: {previous}).")
