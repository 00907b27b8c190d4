"""What endpoints are given: the context, a session that is one transaction, and how refusals look in the schema."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request

from forge_common.contracts.base import Contract
from forge_common.db.session import DatabaseDown
from forge_common.errors import ForgeError, snake_case
from forge_registry.context import Context
from forge_registry.errors import KeyRefused, KeyTooWeak
from forge_registry.listener import Listener


class Problem(Contract):
    """RFC 9457, with our own `code` and `fix`."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    fix: str | None = None


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


def _listener(request: Request) -> Listener:
    listener: Listener = request.app.state.listener
    return listener


ContextDep = Annotated[Context, Depends(_context)]
ListenerDep = Annotated[Listener, Depends(_listener)]


Responses = dict[int | str, dict[str, Any]]


def refuses(*errors: type[ForgeError]) -> Responses:
    """The problem documents an endpoint may answer with, for OpenAPI."""
    codes: dict[int, list[str]] = {}
    for error in errors:
        codes.setdefault(error.status, []).append(snake_case(error.__name__))
    return {
        status: {"model": Problem, "description": ", ".join(sorted(names))} for status, names in codes.items()
    }


# What any endpoint may answer with.
EVERYWHERE = refuses(KeyRefused, KeyTooWeak, DatabaseDown)
