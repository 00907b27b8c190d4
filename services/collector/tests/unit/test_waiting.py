"""What the spool has no room for waits a moment, while the drainer makes some; otherwise it is dropped and counted at once."""

import asyncio
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forge_collector import waiting
from forge_collector.spool import Spool
from forge_collector.waiting import WaitingRoom

LIMIT = 8 << 10
FRAME = bytes(3 << 10)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path, limit_bytes=LIMIT, segment_bytes=LIMIT, fsync_s=0.001)
    while spool.append(FRAME, is_last_try=False):
        pass
    yield spool
    spool.close()


@pytest.mark.anyio
async def test_it_waits_until_what_lies_before_it_was_drained(spool: Spool) -> None:
    kept: list[bool] = []
    held = WaitingRoom(spool, lambda: True).append(FRAME, kept.append)
    assert held is not None
    await asyncio.sleep(3 * waiting.RETRY_S)
    assert not held.done()
    assert kept == []

    spool.release(spool.end)
    await asyncio.wait_for(held, 5)

    assert kept == [True]
    assert spool.stats.dropped == {}
    assert spool.refusing is None


@pytest.mark.anyio
async def test_without_anybody_who_makes_room_it_is_dropped_at_once(spool: Spool) -> None:
    kept: list[bool] = []

    assert WaitingRoom(spool, lambda: False).append(FRAME, kept.append) is None

    assert kept == [False]
    assert spool.stats.dropped == {"spool_full": 1}


@pytest.mark.anyio
async def test_nobody_waits_for_ever(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LONGEST_S", 0.05)
    kept: list[bool] = []
    held = WaitingRoom(spool, lambda: True).append(FRAME, kept.append)
    assert held is not None

    await asyncio.wait_for(held, 5)

    assert kept == [False]
    assert spool.stats.dropped == {"spool_full": 1}


@pytest.mark.anyio
async def test_those_who_wait_stop_when_the_drainer_does(spool: Spool) -> None:
    kept: list[bool] = []
    is_draining = True
    room = WaitingRoom(spool, lambda: is_draining)
    assert room.append(FRAME, kept.append)
    assert room.append(FRAME, kept.append)

    is_draining = False
    await asyncio.wait_for(room.settled(), 5)

    assert kept == [False, False]


@pytest.mark.anyio
async def test_memory_is_no_second_spool(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MOST_BYTES", len(FRAME))
    kept: list[bool] = []
    room = WaitingRoom(spool, lambda: True)
    first = room.append(FRAME, kept.append)

    assert room.append(FRAME, kept.append) is None

    assert kept == [False]
    spool.release(spool.end)
    assert first is not None
    await asyncio.wait_for(first, 5)
    assert kept == [False, True]


@pytest.mark.anyio
@pytest.mark.parametrize("size", [LIMIT - (1 << 10), LIMIT + 1])
async def test_where_nothing_lies_to_be_drained_nobody_waits_for_it(spool: Spool, size: int) -> None:
    spool.release(spool.end)
    kept: list[bool] = []

    assert WaitingRoom(spool, lambda: True).append(bytes(size), kept.append) is None

    assert kept == [size < LIMIT]


@pytest.mark.anyio
async def test_a_disk_that_fails_is_tried_once_more_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, limit_bytes=LIMIT, segment_bytes=LIMIT, fsync_s=0.001)
    spool.append(FRAME)
    kept: list[bool] = []

    def broken(*_: Any) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("forge_collector.spool.os.write", broken)

    assert WaitingRoom(spool, lambda: True).append(FRAME, kept.append) is None

    assert kept == [False]
    assert spool.stats.dropped == {"write_failed_EIO": 1}
    spool.close()
