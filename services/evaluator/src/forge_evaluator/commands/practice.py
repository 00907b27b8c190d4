"""`practice`: one round of a model trying tasks; needs an engine, and a collector for what it teaches. `forge iterate` starts it."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from forge_common.contracts.base import utc_now
from forge_common.contracts.domain import DomainDocument
from forge_common.errors import Invalid
from forge_evaluator import extract, scorers
from forge_evaluator.benchmarks import Benchmark, Task
from forge_evaluator.engine import Engine
from forge_evaluator.events import Events
from forge_evaluator.practising.attempts import RETRY_TEMPERATURE, Rules, Trial
from forge_evaluator.practising.choosing import choose, practice_of, refuse_overlaps
from forge_evaluator.practising.collector import Collector
from forge_evaluator.practising.history import History, Round
from forge_evaluator.practising.session import Header, Session, TraceLog, open_log
from forge_evaluator.practising.teaching import lesson
from forge_evaluator.practising.trace import Attempt, Trace, pass_rates
from forge_evaluator.scorers import Answered, Score, score
from forge_evaluator.scorers.code import Runs
from forge_evaluator.settings import Settings
from forge_evaluator.walls import walls_for


def add(commands: Any) -> None:
    parser = commands.add_parser("practice", help="a round of practice, and what it taught")
    parser.add_argument("--document", type=Path, required=True, help="the domain document")
    parser.add_argument("--model", required=True, help="the engine's name of the model that practises")
    parser.add_argument("--file", type=Path, help="practice tasks (default: the shipped ones of the domain)")
    parser.add_argument("--benchmark", type=Path, action="append", default=[], help="must not overlap")
    parser.add_argument("--tasks", type=int)
    parser.add_argument("--attempts", type=int, default=3)
    parser.add_argument("--task", action="append", default=[])
    parser.add_argument("--dry-run", action="store_true", help="send nothing, leave the history as it is")
    parser.set_defaults(run=_run)
    past = commands.add_parser("history", help="what rounds of practice came to")
    past.add_argument("--domain")
    past.set_defaults(run=_history)


def _history(arguments: argparse.Namespace, events: Events) -> int:
    rounds = History(_folder(Settings()) / "history.jsonl").rounds(arguments.domain)
    events.result([one.model_dump(mode="json") for one in rounds])
    return 0


def _run(arguments: argparse.Namespace, events: Events) -> int:
    settings, domain = Settings(), _domain(arguments.document)
    source = practice_of(domain.id, arguments.file)
    refuse_overlaps(source.tasks, arguments.benchmark)
    history = History(_folder(settings) / "history.jsonl")
    # Other tasks each round; not by rounds of other models, so that one that was broken off is found again.
    seed = sum(one.model == arguments.model for one in history.rounds(domain.id))
    tasks = choose(source.tasks, named=arguments.task, most=arguments.tasks, seed=seed)
    rules = Rules.of(domain, model=arguments.model, attempts=arguments.attempts, seed=seed)
    with walls_for(tasks, settings) as (sandbox, description):
        practice = _Practice(settings, domain, source, tasks, rules, sandbox, description, events)
        done = asyncio.run(practice.run(is_dry=arguments.dry_run))
    if not arguments.dry_run:
        history.add(done)
    events.result(done.model_dump(mode="json") | {"dry_run": arguments.dry_run})
    return 0


def _domain(path: Path) -> DomainDocument:
    try:
        return DomainDocument.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise Invalid(f"{path} is not a domain document", fix="see docs/domains.md") from error


def _folder(settings: Settings) -> Path:
    return settings.work / "practice"


@dataclass(frozen=True, slots=True)
class _Practice:
    settings: Settings
    domain: DomainDocument
    source: Benchmark
    tasks: Sequence[Task]
    rules: Rules
    sandbox: Runs
    description: str
    events: Events

    async def run(self, *, is_dry: bool) -> Round:
        collector = None if is_dry else Collector(self.settings.collector_url, self.settings.key_text)
        if collector is not None:
            collector.check()
        settings = self.settings
        async with Engine(settings.engine_url, timeout_s=settings.answer_timeout_s) as engine:
            digest = await engine.digest(self.rules.model)
            header = self._header(digest, is_dry=is_dry)
            with open_log(_folder(settings) / "traces", header) as log:
                if log.traces:
                    self.events.note(
                        f"goes on with the round in {log.path}: {len(log.traces)} tasks are done"
                    )
                await self._session(engine, collector, log).run(settings.concurrency)
                done = self._round(log, digest)
                log.end(done.model_dump(mode="json"))
        return done

    def _session(self, engine: Engine, collector: Collector | None, log: TraceLog) -> Session:
        def judge(task: Task, answered: Answered) -> Score:
            return score(task, answered, self.domain.eval.scoring, self.sandbox)

        def teach(trace: Trace, task: Task) -> int:
            found = lesson(
                trace, task, self.domain, model=self.rules.model, engine_url=self.settings.engine_url
            )
            assert found is not None
            assert collector is not None
            return collector.send(found)

        def told(solved: int, done: int, of: int) -> None:
            self.events.progress(f"{solved} solved", done, of)

        trial = Trial(self.rules, engine.ask, judge, self._watch)
        return Session(self.tasks, trial.practise, teach if collector else None, log, told)

    def _watch(self, task: Task, attempt: Attempt, number: int) -> None:
        outcome = attempt.outcome or "unscored"
        self.events.note(f"{task.id}, attempt {number}: {outcome} · {attempt.explanation}")

    def _header(self, digest: str | None, *, is_dry: bool) -> Header:
        """What must be equal for a round that was broken off to go on."""
        return {
            "domain": self.domain.id,
            "model": self.rules.model,
            "digest": digest,
            "practice": self.source.sha256,
            "tasks": [task.id for task in self.tasks],
            "attempts": self.rules.attempts,
            "seed": self.rules.seed,
            "temperature": self.rules.temperature,
            "retry_temperature": RETRY_TEMPERATURE,
            "max_tokens": self.rules.max_tokens,
            "extractor": extract.VERSION,
            "scorers": scorers.VERSION,
            "dry_run": is_dry,
        }

    def _round(self, log: TraceLog, digest: str | None) -> Round:
        traces = [log.traces[task.id] for task in self.tasks]
        taught = [trace for trace in traces if trace.task in log.taught]
        repaired = tuple(trace.task for trace in traces if (trace.solved_at or 0) > 1)
        return Round(
            at=utc_now(),
            domain=self.domain.id,
            model=self.rules.model,
            digest=digest,
            practice=self.source.sha256,
            tasks=len(traces),
            attempts=self.rules.attempts,
            seed=self.rules.seed,
            pass_rates=tuple(pass_rates(traces, self.rules.attempts)),
            solved=sum(trace.solved_at is not None for trace in traces),
            repaired=repaired,
            unsolved=tuple(t.task for t in traces if t.is_judged and t.solved_at is None),
            unjudged=sum(not trace.is_judged for trace in traces),
            exchanges=len(taught),
            pairs=sum(trace.task in repaired and bool(trace.attempts[0].answer.strip()) for trace in taught),
            new=sum(log.taught.values()),
            sandbox=self.description,
            traces=str(log.path),
        )
