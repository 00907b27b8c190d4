"""From pairs to preference rows: the better answer must be fit to train on by itself, the worse one must be an answer. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from forge_collector.benchmark_overlap import Benchmark, digest
from forge_collector.curate import Candidate, Sample, Teachers, examined, sample_checks
from forge_collector.policy import Policy
from forge_common.contracts.dataset import FilterCount, PreferenceRow
from forge_common.contracts.domain import DataRules
from forge_common.contracts.exchange import Exchange

GOOD = 1


@dataclass(frozen=True, slots=True)
class Preferences:
    """`sources` are the ids of all exchanges that the rows come from, better and worse ones."""

    rows: tuple[PreferenceRow, ...]
    sources: tuple[str, ...]
    dropped: tuple[FilterCount, ...]


def prefer(
    pairs: Iterable[tuple[Exchange, Exchange]],
    rules: DataRules,
    *,
    benchmark: Benchmark | None = None,
    policy: Policy | None = None,
) -> Preferences:
    """`pairs` are the better and the worse exchange. The same two answers to the same prompt are one row."""
    teachers, checks = Teachers(policy or Policy()), sample_checks(rules, benchmark)
    rows: dict[bytes, PreferenceRow] = {}
    sources: list[str] = []
    dropped: Counter[str] = Counter()
    for better, worse in pairs:
        found = examined(Candidate(better, thumb=GOOD), teachers, checks, None)
        reason = found if isinstance(found, str) else _against(found, worse, teachers)
        if isinstance(found, str) or reason is not None:
            dropped[str(reason)] += 1
        elif (key := _key(found, worse)) in rows:
            dropped["duplicate"] += 1
        else:
            rows[key] = _row(found, worse)
            sources += [better.id, worse.id]
    counts = tuple(FilterCount(reason=reason, rows=count) for reason, count in sorted(dropped.items()))
    return Preferences(tuple(rows.values()), tuple(sources), counts)


def _against(better: Sample, worse: Exchange, teachers: Teachers) -> str | None:
    """Why the other answer is none to learn from. That it is bad is no reason: it is there to be avoided."""
    if reason := teachers.reason(Candidate(worse)):
        return reason
    if teachers.in_history(better):
        return "ineligible_teacher"
    text = worse.answer.text()
    if not text.strip() and not worse.answer.tool_calls:
        return "empty_rejected"
    is_same = digest(text) == digest(better.answer) and not worse.answer.tool_calls and not better.has_calls
    return "same_answer" if is_same else None


def _key(better: Sample, worse: Exchange) -> bytes:
    asked = "\0".join(f"{message.role}:{message.text()}" for message in worse.messages)
    return digest(asked, better.answer, worse.answer.text())


def _row(better: Sample, worse: Exchange) -> PreferenceRow:
    return PreferenceRow(
        messages=better.row.messages[:-1],
        chosen=better.row.messages[-1],
        rejected=worse.answer,
        source=better.row.source,
        group=better.row.group,
        tools=better.row.tools,
    )
