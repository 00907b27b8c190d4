"""A person's rules as rows: who may be trained on, which model belongs to which domain. Newest first, which is their order."""

from __future__ import annotations

from typing import TypeVar

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from forge_collector.model_rules import ModelRule
from forge_collector.models import ModelRuleRow, PolicyRuleRow
from forge_collector.policy import Policy, Rule
from forge_common.errors import NotFound

R = TypeVar("R", PolicyRuleRow, ModelRuleRow)


class RuleUnknown(NotFound):
    """Nobody made a rule with that pattern."""


def policy(session: Session) -> Policy:
    return Policy(your_rules(session))


def your_rules(session: Session) -> list[Rule]:
    return [
        Rule.yours(row.pattern, eligible=row.eligible, reason=row.reason)
        for row in _rows(session, PolicyRuleRow)
    ]


def model_rules(session: Session) -> list[ModelRule]:
    return [ModelRule(pattern=row.pattern, domain=row.domain) for row in _rows(session, ModelRuleRow)]


def put_rule(session: Session, rule: Rule) -> None:
    """A rule with the same pattern is replaced, and is the newest again."""
    _put(session, PolicyRuleRow, pattern=rule.name, eligible=rule.eligible, reason=rule.reason)


def put_model_rule(session: Session, rule: ModelRule) -> None:
    """A rule with the same pattern is replaced, and is the newest again."""
    _put(session, ModelRuleRow, pattern=rule.pattern, domain=rule.domain)


def remove_rule(session: Session, pattern: str) -> None:
    """Raises RuleUnknown; the shipped rules are no rows."""
    _remove(session, PolicyRuleRow, pattern)


def remove_model_rule(session: Session, pattern: str) -> None:
    """Raises RuleUnknown."""
    _remove(session, ModelRuleRow, pattern)


def _rows(session: Session, table: type[R]) -> list[R]:
    newest_first = (col(table.created_at).desc(), col(table.pattern))
    return list(session.exec(select(table).order_by(*newest_first)))


def _put(session: Session, table: type[R], **values: object) -> None:
    # The database's clock, at the moment of writing: the order of two rules is the order they were made in.
    values["created_at"] = func.clock_timestamp()
    statement = insert(table).values(**values)
    session.connection().execute(statement.on_conflict_do_update(index_elements=["pattern"], set_=values))


def _remove(session: Session, table: type[R], pattern: str) -> None:
    row = session.get(table, pattern)
    if row is None:
        patterns = ", ".join(repr(row.pattern) for row in _rows(session, table)) or "none at all"
        raise RuleUnknown(f"you have no rule {pattern[:80]!r}", fix=f"your rules are {patterns}")
    session.delete(row)
    session.flush()
