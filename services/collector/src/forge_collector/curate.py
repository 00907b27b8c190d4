"""From exchanges to training rows: ordered filters, each with a counted reason, and a stable split. Pure.

It never repairs a row and never guesses: an exchange is kept as it was, or dropped for the first reason that applies.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from forge_collector.benchmark_overlap import Benchmark, digest
from forge_collector.patterns import Teacher
from forge_collector.policy import Policy, Rule
from forge_common.contracts.dataset import DatasetRow, FilterCount, RuleCount
from forge_common.contracts.domain import DataRules
from forge_common.contracts.exchange import Exchange, Message, Origin

OK = 200
INELIGIBLE = "ineligible_teacher"
_FINISHED = frozenset({"stop", "tool_calls", "function_call", "end_turn", "stop_sequence", "tool_use", None})
# Only at the beginning: an answer that speaks of refusals later on is none.
_REFUSAL_WINDOW = 200
_REFUSAL = re.compile(
    r"(?i)\b(?:I(?:'|’)?m sorry,? but|I am sorry,? but|I apologi[sz]e,? but|I (?:can(?:no|'|’)t|am unable to|am not able to"
    r"|won(?:'|’)t be able to|will not) (?:help|assist|comply|provide|fulfil|continue|do that|answer)"
    r"|I must decline|as an AI(?: language)? model,? I)"
)
_CODE_BLOCK = re.compile(r"^ {0,3}(?:```|~~~).*\n[\s\S]*?^ {0,3}(?:```|~~~)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An exchange and the last word of a person on it."""

    exchange: Exchange
    thumb: int | None = None
    corrected: str | None = None
    stored_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """A candidate as a row, with what the filters look at."""

    row: DatasetRow
    conversation: str
    prompt: str
    answer: str
    has_calls: bool
    # Our own model's, and nobody said that it is good.
    is_own: bool = False


@dataclass(frozen=True, slots=True)
class Curated:
    """`seen` candidates went in; `dropped` says why some did not come out. Rows are in the order of the candidates.

    `policy` counts the candidates that each rule on teachers decided; `seen_until` is when the newest was stored.
    """

    train: tuple[DatasetRow, ...]
    valid: tuple[DatasetRow, ...]
    seen: int
    dropped: tuple[FilterCount, ...]
    conversations: int
    policy: tuple[RuleCount, ...] = ()
    seen_until: datetime | None = None


Check = Callable[[Sample], str | None]


def curate(
    candidates: Iterable[Candidate],
    rules: DataRules,
    *,
    benchmark: Benchmark | None = None,
    seed: int = 0,
    policy: Policy | None = None,
    own: str | None = None,
) -> Curated:
    """Filter, leave out who may not be trained on, deduplicate, exclude the benchmark, split by conversation.

    `own` is the prefix of the domain's own models: what they answered for comparison alone is left out unless a person
    preferred it, and of two answers to one prompt the other one's stays.
    """
    dropped: Counter[str] = Counter()
    samples: list[Sample] = []
    checks = sample_checks(rules, benchmark)
    teachers = Teachers(policy or Policy())
    seen, seen_until = 0, None
    for candidate in candidates:
        seen += 1
        seen_until = max(filter(None, (seen_until, candidate.stored_at)), default=None)
        found = examined(candidate, teachers, checks, own)
        if isinstance(found, Sample):
            samples.append(found)
        else:
            dropped[found] += 1
    # Only now is it known whose answers are refused; and a refused row must not be the first of two that are the same.
    kept = _passing(samples, teachers.in_history, dropped)
    if rules.dedup_by_hash:
        firsts = _passing(sorted(kept, key=lambda sample: sample.is_own), _Duplicates(), dropped)
        sources = {sample.row.source for sample in firsts}
        kept = [sample for sample in kept if sample.row.source in sources]
    unrepeated = _without_superseded(kept)
    dropped["superseded"] += len(kept) - len(unrepeated)
    kept = unrepeated
    train, valid = split(kept, rules.valid_fraction, seed)
    return Curated(
        train=tuple(sample.row for sample in train),
        valid=tuple(sample.row for sample in valid),
        seen=seen,
        dropped=tuple(
            FilterCount(reason=reason, rows=rows) for reason, rows in sorted(dropped.items()) if rows
        ),
        conversations=len({sample.conversation for sample in kept}),
        policy=teachers.counts(),
        seen_until=seen_until,
    )


def examined(
    candidate: Candidate, teachers: Teachers, checks: Iterable[Check], own: str | None
) -> Sample | str:
    """The sample, or the reason that there is none. Whether it is one of several that are the same is not looked at."""
    reason = teachers.reason(candidate) or _exchange_reason(candidate)
    if reason is not None:
        return reason
    sample = _sample(candidate, own)
    if sample.is_own and candidate.exchange.origin is Origin.COMPARE:
        return "own_answer"
    return _first_reason(sample, checks) or sample


def _first_reason(sample: Sample, checks: Iterable[Check]) -> str | None:
    return next((reason for check in checks if (reason := check(sample))), None)


def _passing(samples: Iterable[Sample], check: Check, dropped: Counter[str]) -> list[Sample]:
    kept: list[Sample] = []
    for sample in samples:
        if reason := check(sample):
            dropped[reason] += 1
        else:
            kept.append(sample)
    return kept


def split(samples: Sequence[Sample], valid_fraction: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Train and valid, by a hash of the conversation: a conversation keeps its side when data are added.

    With at least two conversations neither side is empty: the one nearest to the border moves.
    """
    shares = {sample.conversation: _share(sample.conversation, seed) for sample in samples}
    valid = {conversation for conversation, share in shares.items() if share < valid_fraction}
    if len(shares) > 1:
        valid = (valid or {min(shares, key=shares.__getitem__)}) - (
            {max(shares, key=shares.__getitem__)} if len(valid) == len(shares) else set()
        )
    return (
        [sample for sample in samples if sample.conversation not in valid],
        [sample for sample in samples if sample.conversation in valid],
    )


class Teachers:
    """Who answered, and whether the policy lets their answers be trained on."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._decided: Counter[Rule] = Counter()
        self._refused: set[bytes] = set()

    def reason(self, candidate: Candidate) -> str | None:
        """A correction is a person's own text, whoever answered first."""
        exchange = candidate.exchange
        rule = self._policy.rule(Teacher.of(exchange))
        self._decided[rule] += 1
        if rule.eligible:
            return None
        answers = (exchange.answer, *(exchange.alternatives or ()))
        self._refused.update(_spoken(exchange.conversation_id, answer) for answer in answers)
        return None if candidate.corrected else INELIGIBLE

    def in_history(self, sample: Sample) -> str | None:
        """The reason, when an earlier turn is an answer that may not be trained on: trainers learn every answer in a row."""
        is_refused = bool(self._refused) and any(
            _spoken(sample.conversation, message) in self._refused
            for message in sample.row.messages[:-1]
            if message.role == "assistant"
        )
        return INELIGIBLE if is_refused else None

    def counts(self) -> tuple[RuleCount, ...]:
        """In the order of the rules."""
        return tuple(
            RuleCount(
                rule=rule.name, source=rule.source, eligible=rule.eligible, reason=rule.reason, exchanges=n
            )
            for rule in self._policy.rules
            if (n := self._decided[rule])
        )


def _spoken(conversation: str, message: Message) -> bytes:
    return digest(conversation, message.text(), str(message.tool_calls or ""))


def _exchange_reason(candidate: Candidate) -> str | None:
    exchange = candidate.exchange
    reasons = {
        "status": exchange.status != OK,
        "incomplete": not exchange.complete,
        "finish_reason": exchange.finish_reason not in _FINISHED,
        "thumb_down": candidate.thumb == -1 and not candidate.corrected,
        "prefilled": exchange.messages[-1].role == "assistant",
        # The upstream kept the earlier turns: the model saw more than was captured.
        "history_unknown": bool(exchange.sampling.get("previous_response_id")),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def sample_checks(rules: DataRules, benchmark: Benchmark | None) -> list[Check]:
    """In order; the first that names a reason decides."""
    checks: list[Check] = [
        _empty,
        lambda sample: _length(sample, rules),
        lambda sample: _code(sample) if rules.require_code_blocks else None,
        _refusal,
    ]
    if benchmark is not None:
        checks.append(lambda sample: _benchmark(sample, benchmark, same_family=rules.allow_same_family))
    return checks


def _empty(sample: Sample) -> str | None:
    if not sample.prompt.strip():
        return "empty_prompt"
    return None if sample.answer.strip() or sample.has_calls else "empty_answer"


def _length(sample: Sample, rules: DataRules) -> str | None:
    if len(sample.prompt) < rules.min_prompt_length:
        return "prompt_too_short"
    if len(sample.answer) < rules.min_response_length and not sample.has_calls:
        return "answer_too_short"
    return "answer_too_long" if len(sample.answer) > rules.max_response_length else None


def _code(sample: Sample) -> str | None:
    return None if sample.has_calls or _CODE_BLOCK.search(sample.answer) else "no_code_block"


def _refusal(sample: Sample) -> str | None:
    return "refusal" if _REFUSAL.search(sample.answer[:_REFUSAL_WINDOW]) else None


def _benchmark(sample: Sample, benchmark: Benchmark, *, same_family: bool) -> str | None:
    if benchmark.has_prompt(sample.prompt):
        return "benchmark_exact"
    if not same_family and benchmark.is_near(sample.prompt, sample.answer):
        return "benchmark_near"
    return None


class _Duplicates:
    """The first of several exchanges with the same prompt stays; whether the others answered the same is told apart."""

    def __init__(self) -> None:
        self._answers: dict[bytes, bytes] = {}

    def __call__(self, sample: Sample) -> str | None:
        prompt, answer = digest(_conversation_text(sample.row.messages[:-1])), digest(sample.answer)
        first = self._answers.setdefault(prompt, answer)
        if first is answer:
            return None
        return "duplicate" if first == answer else "duplicate_prompt"


def _without_superseded(samples: list[Sample]) -> list[Sample]:
    """Leave out what a later turn of the same conversation repeats: trainers learn every answer in a row, each once."""
    repeated = {
        digest(_conversation_text(messages[: i + 1]))
        for messages in (sample.row.messages for sample in samples)
        for i, message in enumerate(messages[:-1])
        if message.role == "assistant"
    }
    return [s for s in samples if digest(_conversation_text(s.row.messages)) not in repeated]


def _sample(candidate: Candidate, own: str | None) -> Sample:
    exchange = candidate.exchange
    answer = exchange.answer
    if candidate.corrected:
        answer = Message(role="assistant", content=candidate.corrected)
    row = DatasetRow(
        messages=(*exchange.messages, answer),
        source=exchange.id,
        group=exchange.task_type or "domain",
        tools=exchange.tools,
    )
    prompt = next((m.text() for m in reversed(exchange.messages) if m.role == "user"), "")
    is_own = candidate.thumb != 1 and not candidate.corrected and _is_own(exchange, own)
    return Sample(row, exchange.conversation_id, prompt, answer.text(), bool(answer.tool_calls), is_own)


def _is_own(exchange: Exchange, own: str | None) -> bool:
    names = (exchange.model_asked or "", exchange.model_served or "")
    return own is not None and any(name.partition(":")[0] == own for name in names)


def _conversation_text(messages: Sequence[Message]) -> str:
    # Not the system prompt: clients put the date and their own version there.
    return "\n".join(
        f"{m.role}: {m.text()}{m.tool_calls or ''}{m.tool_call_id or ''}"
        for m in messages
        if m.role != "system"
    )


def _share(conversation: str, seed: int) -> float:
    value = hashlib.sha256(f"{seed}:{conversation}".encode()).digest()[:8]
    return int.from_bytes(value, "big") / 2**64
