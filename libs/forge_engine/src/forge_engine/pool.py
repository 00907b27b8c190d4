"""Which models are loaded: on demand, within the memory cap, least recently used out first, each until its keep-alive ends.

A runner that is answering is never unloaded; a request that needs room waits for one to become idle.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from forge_common.errors import ForgeError
from forge_common.logging import get_logger
from forge_engine import process
from forge_engine.errors import ModelTooLarge
from forge_engine.gguf_header import GgufHeader
from forge_engine.process import LoadPlan, RunnerProcess
from forge_engine.settings import Settings
from forge_engine.store import Details

log = get_logger()
# Python, llama.cpp and its small buffers: a runner with a nano model held 40 MiB on Linux x86-64.
RUNNER_BYTES = 64 << 20
# llama.cpp computes logits for a micro-batch of this many tokens at once, in float32.
MICRO_BATCH = 512
FOREVER = timedelta(days=36500)


@dataclass(frozen=True)
class Cost:
    """Estimated bytes. Weights are mapped files: two runners on the same file share them."""

    files: tuple[tuple[Path, int], ...]
    fixed: int
    per_slot: int

    @staticmethod
    def of(plan: LoadPlan, header: GgufHeader) -> Cost:
        paths = (plan.model, plan.adapter) if plan.adapter else (plan.model,)
        logits = header.lengths.get("tokenizer.ggml.tokens", 0) * MICRO_BATCH * 4
        return Cost(
            files=tuple((path, path.stat().st_size) for path in paths),
            fixed=RUNNER_BYTES + logits,
            per_slot=plan.context * header.kv_bytes_per_token(),
        )


@dataclass(frozen=True)
class Wanted:
    """A model that a request wants loaded, under the name and manifest that it was asked by."""

    plan: LoadPlan
    header: GgufHeader
    name: str
    digest: str
    details: Details


class Loaded:
    """One runner and who is using it; `wanted` is what it was first loaded for, as `/api/ps` shows it."""

    def __init__(self, wanted: Wanted, cost: Cost, slots: int) -> None:
        self.wanted, self.cost, self.slots = wanted, cost, slots
        self.users = 0
        self.used_at = time.monotonic()
        self.keep_alive_s = 0.0
        self.expires_at = datetime.now(UTC)
        self.starting: asyncio.Task[RunnerProcess] | None = None
        self.timer: asyncio.TimerHandle | None = None

    @property
    def plan(self) -> LoadPlan:
        return self.wanted.plan

    @property
    def own_bytes(self) -> int:
        return self.cost.fixed + self.slots * self.cost.per_slot

    @property
    def size(self) -> int:
        return self.own_bytes + sum(size for _, size in self.cost.files)

    def touch(self) -> None:
        """Keep it for its keep-alive from now on; for ever when that is negative."""
        self.used_at = time.monotonic()
        stay = FOREVER if self.keep_alive_s < 0 else timedelta(seconds=min(self.keep_alive_s, 3e9))
        self.expires_at = datetime.now(UTC) + stay


class Pool:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._loaded: dict[LoadPlan, Loaded] = {}
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def loaded(self) -> list[Loaded]:
        """Those that are ready, most recently used first."""
        ready = [one for one in self._loaded.values() if one.starting and one.starting.done()]
        return sorted(ready, key=lambda one: one.used_at, reverse=True)

    @asynccontextmanager
    async def lease(self, wanted: Wanted, keep_alive_s: float | None = None) -> AsyncIterator[RunnerProcess]:
        """A runner for what is wanted, loaded if need be; it stays at least until the lease ends."""
        one = await self._take(wanted)
        one.keep_alive_s = self.settings.keep_alive_s if keep_alive_s is None else keep_alive_s
        try:
            assert one.starting is not None
            # Shielded: who gives up waiting must not abort a load that others wait for.
            yield await asyncio.shield(one.starting)
        finally:
            self._give_back(one)

    async def unload(self, plan: LoadPlan) -> None:
        """Let it go now, or as soon as nobody uses it."""
        one = self._loaded.get(plan)
        if one is None:
            return
        one.keep_alive_s = 0.0
        if one.users == 0:
            del self._loaded[plan]
            await self._end_and_announce(one)

    async def close(self) -> None:
        everyone = list(self._loaded.values())
        self._loaded.clear()
        await asyncio.gather(*(self._end(one) for one in everyone), *self._tasks, return_exceptions=True)

    async def _take(self, wanted: Wanted) -> Loaded:
        plan, cost = wanted.plan, Cost.of(wanted.plan, wanted.header)
        async with self._changed:
            while plan not in self._loaded:
                slots = self._slots_that_fit(cost)
                if slots:
                    self._loaded[plan] = self._load(Loaded(wanted, cost, slots))
                    break
                await self._make_room(cost)
            one = self._loaded[plan]
            one.users += 1
            if one.timer:
                one.timer.cancel()
            return one

    def _load(self, one: Loaded) -> Loaded:
        one.starting = asyncio.create_task(self._start(one))
        return one

    async def _start(self, one: Loaded) -> RunnerProcess:
        settings, begun = self.settings, time.monotonic()
        try:
            runner = await process.start(
                one.plan,
                slots=one.slots,
                threads=settings.threads,
                gpu_layers=settings.gpu_layers,
                timeout_s=settings.load_timeout_s,
            )
        except ForgeError as error:
            log.warning("model.load_failed", model=one.wanted.name, code=error.code, reason=error.message)
            self._forget(one)
            raise
        log.info(
            "model.loaded",
            model=one.wanted.name,
            slots=one.slots,
            pid=runner.pid,
            seconds=time.monotonic() - begun,
        )
        self._in_background(self._watch(one, runner))
        return runner

    async def _watch(self, one: Loaded, runner: RunnerProcess) -> None:
        await runner.wait()
        if self._loaded.get(one.plan) is one:
            log.error("runner.died", model=one.wanted.name, status=runner.process.returncode)
            self._forget(one)

    def _slots_that_fit(self, cost: Cost) -> int:
        """0 when not even one does beside what is loaded now."""
        files = dict(cost.files)
        for one in self._loaded.values():
            files |= dict(one.cost.files)
        used = sum(files.values()) + sum(one.own_bytes for one in self._loaded.values())
        room = self.settings.memory_bytes - used - cost.fixed
        return max(0, min(self.settings.slots, room // max(cost.per_slot, 1)))

    async def _make_room(self, cost: Cost) -> None:
        """Unload one idle runner, or wait until one becomes idle. Raises ModelTooLarge when there is none at all."""
        if not self._loaded:
            needed = sum(size for _, size in cost.files) + cost.fixed + cost.per_slot
            raise ModelTooLarge(
                f"the model needs about {needed / 2**30:.1f} GiB,"
                f" FORGE_ENGINE_MEMORY_BYTES allows {self.settings.memory_bytes / 2**30:.1f}",
                fix="raise it, lower num_ctx, or use a smaller quantisation",
            )
        idle = [one for one in self._loaded.values() if one.users == 0]
        if not idle:
            await self._changed.wait()
            return
        oldest = min(idle, key=lambda one: one.used_at)
        log.info("model.evicted", model=oldest.wanted.name)
        del self._loaded[oldest.plan]
        await self._end(oldest)

    def _give_back(self, one: Loaded) -> None:
        one.users -= 1
        one.touch()
        if one.users == 0:
            self._arm(one)
            self._in_background(self._announce())

    def _arm(self, one: Loaded) -> None:
        """Unload it when its keep-alive ends, unless someone takes it before."""
        if one.timer:
            one.timer.cancel()
        wait_s = (one.expires_at - datetime.now(UTC)).total_seconds()
        if one.keep_alive_s < 0:
            return
        one.timer = asyncio.get_running_loop().call_later(max(wait_s, 0.0), self._expire, one)

    def _expire(self, one: Loaded) -> None:
        if one.users == 0 and self._loaded.get(one.plan) is one:
            log.info("model.expired", model=one.wanted.name)
            del self._loaded[one.plan]
            self._in_background(self._end_and_announce(one))

    async def _end_and_announce(self, one: Loaded) -> None:
        await self._end(one)
        await self._announce()

    async def _end(self, one: Loaded) -> None:
        if one.timer:
            one.timer.cancel()
        if one.starting is None:
            return
        if not one.starting.done():
            one.starting.cancel()
        result = (await asyncio.gather(one.starting, return_exceptions=True))[0]
        if isinstance(result, RunnerProcess):
            await result.stop()

    def _forget(self, one: Loaded) -> None:
        if self._loaded.get(one.plan) is one:
            del self._loaded[one.plan]
        self._in_background(self._announce())

    async def _announce(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
