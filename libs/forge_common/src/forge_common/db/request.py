"""The session that an endpoint is given: one request, one transaction. The app's engine is `app.state.database`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Request
from sqlmodel import Session

from forge_common.db.session import session_scope


def _session(request: Request) -> Iterator[Session]:
    with session_scope(request.app.state.database) as session:
        yield session


# Committed before the reply leaves: with FastAPI's default scope a failing commit would have been answered with 200.
SessionDep = Annotated[Session, Depends(_session, scope="function")]
