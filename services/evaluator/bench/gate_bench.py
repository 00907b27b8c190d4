"""How often the shipped gate is wrong, by simulation: unchanged candidates promoted, better ones found, harmful ones kept.

Tasks have a U-shaped difficulty (Beta, mean .55): most are nearly always or nearly never passed. Training changes every
task's chance by its own amount (standard deviation .2), around a true mean gain; both models answer each task k times, and
`gate.decide` judges the pairs. The gain is what is left of it after chances end at 0 and 1.

    python services/evaluator/bench/gate_bench.py [--quick] [--json]
"""

# ruff: noqa: T201  a table on the terminal is what this is for
from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass

import numpy as np

from forge_common.contracts.domain import GateRules
from forge_common.contracts.scorecard import Verdict
from forge_evaluator import gate
from forge_evaluator.gate import Facts, Guard, Pair

MAX_FALSE, MIN_POWER = 0.06, 0.95
DIFFICULTY = (0.6, 0.49)
CHANGE_SD = 0.2
RULES = GateRules()


@dataclass(frozen=True)
class World:
    """One kind of candidate. `gain` is its true mean gain in points; `hurt` moves the first category by so much instead.

    `forgets` is what it loses on the first of `guards` other domains.
    """

    name: str
    gain: float = 0.0
    tasks: int = 200
    samples: int = 4
    categories: int = 4
    change_sd: float = CHANGE_SD
    hurt: float | None = None
    guards: int = 0
    guard_tasks: int = 40
    forgets: float = 0.0
    judged_before: int = 0


class Simulator:
    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._shifts: dict[tuple[float, float], float] = {}

    def candidate(self, world: World) -> tuple[list[Pair], tuple[Guard, ...]]:
        pairs = []
        for number in range(world.categories):
            size = len(range(number, world.tasks, world.categories))
            gain = world.hurt if number == 0 and world.hurt is not None else world.gain
            pairs += self.pairs(f"category {number}", size, world.samples, gain, world.change_sd)
        guards = tuple(
            Guard(
                f"domain {number}",
                self.pairs(
                    "guard", world.guard_tasks, 1, -world.forgets if number == 0 else 0.0, world.change_sd
                ),
            )
            for number in range(world.guards)
        )
        return pairs, guards

    def pairs(self, category: str, size: int, samples: int, gain: float, change_sd: float) -> list[Pair]:
        """Without a gain the two models are exchangeable: which of them is called the candidate does not matter."""
        theirs, ours = self._chances(size, self._shift(gain, change_sd), change_sd)
        before, after = (self._rng.binomial(samples, chance) / samples for chance in (theirs, ours))
        return [
            Pair(f"{category}/{n}", category, 100.0 * a, 100.0 * b, category, a, b)
            for n, (a, b) in enumerate(zip(after.tolist(), before.tolist(), strict=True))
        ]

    def _chances(self, size: int, shift: float, change_sd: float) -> tuple[np.ndarray, np.ndarray]:
        middle = self._rng.beta(*DIFFICULTY, size)
        half = self._rng.normal(0.0, change_sd / 2, size)
        return np.clip(middle - half, 0, 1), np.clip(middle + half + shift, 0, 1)

    def _shift(self, gain: float, change_sd: float) -> float:
        """What must be added to every chance so that the mean gain is `gain` points; by bisection on a large draw."""
        if gain == 0:
            return 0.0
        if (gain, change_sd) not in self._shifts:
            low, high = (0.0, 1.0) if gain > 0 else (-1.0, 0.0)
            for _ in range(30):
                middle = (low + high) / 2
                theirs, ours = self._chances(100_000, middle, change_sd)
                low, high = (middle, high) if float(np.mean(ours - theirs)) * 100 < gain else (low, middle)
            self._shifts[gain, change_sd] = (low + high) / 2
        return self._shifts[gain, change_sd]


def judge(simulator: Simulator, world: World) -> Verdict:
    pairs, guards = simulator.candidate(world)
    facts = Facts(guards=guards, judged_before=world.judged_before)
    return gate.decide(pairs, RULES, facts).verdict


def promoted(world: World, draws: int, seed: int = 1) -> float:
    """The share of `draws` such candidates that the shipped gate promotes."""
    simulator = Simulator(seed)
    return sum(judge(simulator, world) is Verdict.PROMOTE for _ in range(draws)) / draws


def promoted_once(series: int, draws: int, seed: int = 1) -> float:
    """The share of `draws` series of unchanged candidates, one after the other on one benchmark, with any promotion."""
    simulator = Simulator(seed)

    def fails(_: int) -> bool:
        return any(
            judge(simulator, World("", judged_before=number)) is Verdict.PROMOTE for number in range(series)
        )

    return sum(map(fails, range(draws))) / draws


UNCHANGED = World("unchanged")
BETTER = World("+10 points", gain=10)

WORLDS = (
    UNCHANGED,
    World("unchanged, not one task's chance differs", change_sd=0.0),
    World("unchanged, 100 tasks", tasks=100),
    World("unchanged, second candidate (alpha .025)", judged_before=1),
    World("unchanged, third and later (alpha .01)", judged_before=2),
    World("-5 points", gain=-5),
    World("+5 points", gain=5),
    World("+5 points, 400 tasks", gain=5, tasks=400),
    BETTER,
    World("+10 points, 12 categories", gain=10, categories=12),
    World("+10 points, 4 other domains unchanged", gain=10, guards=4),
    World("+10 points, third candidate", gain=10, judged_before=2),
    World("+10 points, but one category of 4 loses 10", gain=10, hurt=-10),
    World("+10 points, but one category of 4 loses 20", gain=10, hurt=-20),
    World("+10 points, but one category of 12 loses 20", gain=10, hurt=-20, categories=12),
    World("+10 points, but 1 of 4 other domains loses 30", gain=10, guards=4, forgets=30),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="300 candidates of each kind instead of 3,000")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    draws = 300 if arguments.quick else 3000
    began = time.process_time()
    found = {world.name: promoted(world, draws) for world in WORLDS}
    found["ten unchanged in a row: at least one"] = promoted_once(10, draws // 10)
    _show(found, draws, time.process_time() - began, as_json=arguments.json)
    is_right = found[UNCHANGED.name] <= MAX_FALSE and found[BETTER.name] >= MIN_POWER
    if not arguments.json:
        print(f"floors: {'met' if is_right else 'MISSED'}")
    return 0 if is_right else 1


def _show(found: dict[str, float], draws: int, cpu_s: float, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"draws": draws, "promoted": found, "cpu_s": round(cpu_s, 1)}))
        return
    print(f"\nThe gate: {draws:,} simulated candidates a row, 200 tasks, k = 4 unless said otherwise\n")
    print(f"  {'candidate':<52}{'promoted':>9}")
    for name, share in found.items():
        print(f"  {name:<52}{share:>9.1%}{_floor(name)}")
    print(f"\n  {cpu_s:.1f} s of CPU")


def _floor(name: str) -> str:
    return {UNCHANGED.name: f"   at most {MAX_FALSE:.0%}", BETTER.name: f"   at least {MIN_POWER:.0%}"}.get(
        name, ""
    )


if __name__ == "__main__":
    sys.exit(main())
