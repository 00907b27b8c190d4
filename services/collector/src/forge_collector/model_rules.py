"""Which domain a model's exchanges belong to, where the request does not say. A person's rules, newest first.

Postgres has them; this is what a process knows of them, from memory and from a file: traffic never waits for Postgres.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError, field_validator

from forge_collector.patterns import Pattern, PatternUnreadable, Teacher
from forge_common.contracts.base import Contract, Slug
from forge_common.errors import ForgeError
from forge_common.logging import get_logger

log = get_logger()

# Another replica's change is known here after so long; our own at once.
REFRESH_S = 15.0
# Names of models come from callers, so what is remembered of them is bounded.
MOST_REMEMBERED = 4096


_Key = tuple[str | None, str | None, str | None]


class ModelRule(Contract):
    """`pattern` as in the policy on teachers, with a model, a host or both: `claude-*`, `host=127.0.0.1 model=qwen*`."""

    pattern: str
    domain: Slug

    @field_validator("pattern")
    @classmethod
    def _normalised(cls, text: str) -> str:
        pattern = Pattern.parse(text)
        if pattern.kind or pattern.origin:
            raise PatternUnreadable(
                f"{text[:80]!r} cannot say which domain an exchange belongs to",
                fix="write a model's name such as 'claude-*', 'host=api.openai.com', or both",
            )
        return str(pattern)


Load = Callable[[], Sequence[ModelRule]]
_Rules = TypeAdapter(tuple[ModelRule, ...])


class ModelRules:
    """Calling it costs a lookup and never fails. `load` reads the rules from Postgres."""

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._stopped = threading.Event()
        self._use(_remembered(memory))

    def __call__(self, upstream: str | None, asked: str | None, served: str | None = None) -> str | None:
        """The domain; None when no rule fits."""
        rules, known = self._state
        if not rules:
            return None
        key = (upstream, asked, served)
        if key not in known:
            if len(known) >= MOST_REMEMBERED:
                known.clear()
            teacher = Teacher.make("proxy", upstream, asked, served)
            known[key] = next((domain for pattern, domain in rules if pattern.matches(teacher)), None)
        return known.get(key)

    def start(self, load: Load) -> None:
        threading.Thread(target=self._follow, args=(load,), name="model-rules", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def refresh(self, load: Load) -> None:
        """Take over what Postgres has. Raises DependencyDown; what was known holds on."""
        rules = tuple(load())
        if rules != self.rules:
            aside = self._memory.with_suffix(".new")
            aside.write_bytes(_Rules.dump_json(rules))
            aside.replace(self._memory)
            self._use(rules)
            log.info("model_rules.changed", rules=len(rules))

    def _use(self, rules: tuple[ModelRule, ...]) -> None:
        self.rules = rules
        # Together, so that nobody notes an answer of the old rules for the new ones.
        known: dict[_Key, str | None] = {}
        self._state = [(Pattern.parse(rule.pattern), rule.domain) for rule in rules], known

    def _follow(self, load: Load) -> None:
        while not self._stopped.is_set():
            try:
                self.refresh(load)
            except (ForgeError, OSError) as error:
                log.debug("model_rules.kept", reason=str(error))
            self._stopped.wait(REFRESH_S)


def _remembered(memory: Path) -> tuple[ModelRule, ...]:
    try:
        return _Rules.validate_json(memory.read_bytes())
    except FileNotFoundError:
        return ()
    except (OSError, ValidationError, ForgeError) as error:
        log.warning("model_rules.unreadable", path=str(memory), reason=type(error).__name__)
        return ()
