"""Whose answers may be trained on, and which model belongs to which domain."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field, StringConstraints, computed_field
from sqlmodel import Session

from forge_collector import rules_table
from forge_collector.collector import Collector
from forge_collector.counts import Cells, CountFilter, cells
from forge_collector.endpoints.dependencies import CollectorDep
from forge_collector.model_rules import ModelRule
from forge_collector.patterns import Pattern
from forge_collector.policy import Policy, Rule, Source
from forge_common.contracts.base import Contract
from forge_common.db.request import SessionDep
from forge_common.db.session import session_scope

router = APIRouter(tags=["policy"])

Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class RuleIn(Contract):
    """A pattern as `claude-*`, `host=*.openai.com`, `origin=import`, `kind=restricted`; of several clauses all must hold."""

    pattern: str
    eligible: bool
    reason: Reason = "your decision"

    def rule(self) -> Rule:
        """Raises PatternUnreadable."""
        return Rule.yours(self.pattern, eligible=self.eligible, reason=self.reason)


class RuleView(Rule):
    """A rule and how many of the stored exchanges it decides at present."""

    exchanges: int


class PolicyView(Contract):
    """In the order that rules are tried in; the first that fits decides."""

    rules: tuple[RuleView, ...]


class DomainEffect(Contract):
    domain: str
    allowed: int = 0
    refused: int = 0


class Effect(Contract):
    """What a change of rules does to the exchanges that are stored. `decides`: how many the rule decides."""

    rule: str
    is_saved: bool
    decides: int
    domains: tuple[DomainEffect, ...] = Field(description="where something changes")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def changes(self) -> int:
        return sum(one.allowed + one.refused for one in self.domains)


class ModelRulesView(Contract):
    """Newest first; the first that fits decides. Without one the active domain is meant."""

    rules: tuple[ModelRule, ...]
    active_domain: str


@router.get("/policy")
def show_policy(session: SessionDep) -> PolicyView:
    """Your rules, newest first, then those that came with the Forge."""
    policy = rules_table.policy(session)
    decided = _decided(policy, cells(session, CountFilter()))
    return PolicyView(
        rules=tuple(RuleView(**rule.model_dump(), exchanges=decided.get(rule, 0)) for rule in policy.rules)
    )


@router.put("/policy")
def put_rule(session: SessionDep, given: RuleIn, *, dry_run: bool = False) -> Effect:
    """Your word on a teacher, for what is stored and what will come. With `dry_run` nothing is changed."""
    rule = given.rule()
    before = rules_table.your_rules(session)
    after = [rule, *(other for other in before if other.name != rule.name)]
    effect = _effect(session, rule.name, Policy(before), Policy(after), is_saved=not dry_run)
    if not dry_run:
        rules_table.put_rule(session, rule)
    return effect


@router.delete("/policy")
def remove_rule(session: SessionDep, pattern: Annotated[str, Query()], *, dry_run: bool = False) -> Effect:
    """Take back a rule of yours; what it decided is decided by the next that fits."""
    name = str(Pattern.parse(pattern))
    before = rules_table.your_rules(session)
    after = [rule for rule in before if rule.name != name]
    rules_table.remove_rule(session, name)
    effect = _effect(session, name, Policy(before), Policy(after), is_saved=not dry_run)
    if dry_run:
        session.rollback()
    return effect


@router.get("/model-rules")
def show_model_rules(collector: CollectorDep, session: SessionDep) -> ModelRulesView:
    return ModelRulesView(
        rules=tuple(rules_table.model_rules(session)), active_domain=collector.active_domain()
    )


@router.put("/model-rules")
def put_model_rule(collector: CollectorDep, rule: ModelRule) -> ModelRulesView:
    """From now on; what is stored stays where it is."""
    with session_scope(collector.engine) as session:
        rules_table.put_model_rule(session, rule)
    return _taken_over(collector)


@router.delete("/model-rules")
def remove_model_rule(collector: CollectorDep, pattern: Annotated[str, Query()]) -> ModelRulesView:
    with session_scope(collector.engine) as session:
        rules_table.remove_model_rule(session, str(Pattern.parse(pattern)))
    return _taken_over(collector)


def _taken_over(collector: Collector) -> ModelRulesView:
    # After the commit, or the recorder could be told what is then rolled back.
    collector.model_rules.refresh(collector.stored_model_rules)
    return ModelRulesView(rules=collector.model_rules.rules, active_domain=collector.active_domain())


def _decided(policy: Policy, found: Cells) -> dict[Rule, int]:
    decided: dict[Rule, int] = {}
    for cell, numbers in found.items():
        rule = policy.rule(cell.teacher)
        decided[rule] = decided.get(rule, 0) + numbers.exchanges
    return decided


def _effect(session: Session, name: str, before: Policy, after: Policy, *, is_saved: bool) -> Effect:
    found = cells(session, CountFilter())
    changes: dict[str, DomainEffect] = {}
    decides = 0
    for cell, numbers in found.items():
        was, now = before.rule(cell.teacher), after.rule(cell.teacher)
        is_its_own = any(rule.source is Source.YOURS and rule.name == name for rule in (was, now))
        decides += numbers.exchanges * is_its_own
        if was.eligible != now.eligible and not cell.is_corrected and numbers.exchanges:
            so_far = changes.get(cell.domain, DomainEffect(domain=cell.domain))
            field = "allowed" if now.eligible else "refused"
            changes[cell.domain] = so_far.model_copy(
                update={field: getattr(so_far, field) + numbers.exchanges}
            )
    return Effect(
        rule=name, is_saved=is_saved, decides=decides, domains=tuple(changes[key] for key in sorted(changes))
    )
