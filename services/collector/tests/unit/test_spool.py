"""The log on disk: whole frames come back in order, torn ones cost only themselves."""

import errno
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_collector.frames import MAGIC, Position, SpoolReader, framed, segments
from forge_collector.spool import Spool, SpoolInUse, SpoolUnusable

START = Position()


def open_spool(folder: Path, *, limit: int = 1 << 20, segment: int = 1 << 16, reserve: int = 0) -> Spool:
    return Spool(folder, limit_bytes=limit, segment_bytes=segment, fsync_s=0.001, reserve_bytes=reserve)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.002)
    assert is_so()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = open_spool(tmp_path)
    yield spool
    spool.close()


def payloads(n: int) -> list[bytes]:
    return [f'{{"n":{i},"text":"{"é" * (i % 50)}"}}'.encode() for i in range(n)]


def read_all(spool: Spool, start: Position = START, step: int = 7) -> list[bytes]:
    reader = spool.reader(start)
    frames: list[bytes] = []
    while batch := reader.read(step):
        frames += batch
    return frames


def reopened(spool: Spool) -> Spool:
    spool.close()
    return open_spool(spool.folder)


def test_frames_come_back_in_order_across_segments(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, segment=500)
    written = payloads(60)

    assert all(spool.append(payload) for payload in written)

    assert len(segments(tmp_path)) > 3
    assert read_all(spool) == written
    spool.close()


def test_reading_goes_on_where_it_stopped(spool: Spool) -> None:
    reader = spool.reader(Position())
    spool.append(b"one")
    assert reader.read(10) == [b"one"]
    assert reader.read(10) == []

    spool.append(b"two")

    assert spool.reader(reader.position).read(10) == [b"two"]


def test_the_next_process_reads_what_the_last_one_wrote_and_goes_on(spool: Spool) -> None:
    spool.append(b"before")
    again = reopened(spool)

    again.append(b"after")

    assert read_all(again) == [b"before", b"after"]
    again.close()


@pytest.mark.parametrize("cut", [1, 5, 12, 13, 20])
def test_a_torn_tail_costs_only_the_torn_frame(spool: Spool, cut: int) -> None:
    for payload in (b"first", b"second", b"a third frame that is torn"):
        spool.append(payload)
    _, path = segments(spool.folder)[-1]
    spool.close()
    os.truncate(path, path.stat().st_size - cut)
    again = open_spool(spool.folder)

    again.append(b"fourth")

    assert read_all(again) == [b"first", b"second", b"fourth"]
    assert again.stats.skipped_bytes > 0
    again.close()


@pytest.mark.parametrize("damage", [b"\0" * 40, b"\xff" * 40, MAGIC * 10])
def test_damage_in_the_middle_is_skipped_up_to_the_next_whole_frame(spool: Spool, damage: bytes) -> None:
    written = [f"frame number {i}".encode() for i in range(10)]
    for payload in written:
        spool.append(payload)
    _, path = segments(spool.folder)[-1]
    spool.close()
    with path.open("r+b") as file:
        file.seek(60)
        file.write(damage)
    again = open_spool(spool.folder)

    frames = read_all(again)

    assert frames == [frame for frame in written if frame in frames]
    assert len(frames) >= 6
    assert again.stats.skipped_bytes >= 40
    again.close()


def test_a_payload_that_looks_like_frames_is_only_a_payload(spool: Spool) -> None:
    tricky = MAGIC + b"\x05\0\0\0" + b"\0\0\0\0" + MAGIC * 3
    spool.append(tricky)

    assert read_all(spool) == [tricky]


def test_a_full_spool_counts_what_it_drops_and_takes_frames_again_after_release(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, limit=2000, segment=300)
    results = [spool.append(b"x" * 100) for _ in range(30)]
    dropped = results.count(False)
    assert spool.stats.dropped == {"spool_full": dropped}
    assert dropped > 0
    assert spool.bytes_on_disk <= 2000
    reader = spool.reader(Position())
    while reader.read(100):
        pass

    spool.release(reader.position)

    assert spool.append(b"y")
    assert read_all(spool, reader.position) == [b"y"]
    spool.close()


def test_frames_of_one_append_are_kept_together_or_not_at_all(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, limit=3000)

    assert spool.append(b"left", b"right")
    assert not spool.append(bytes(2000), bytes(2000))

    assert read_all(spool) == [b"left", b"right"]
    assert (spool.stats.appended, spool.stats.dropped) == (2, {"spool_full": 2})
    spool.close()


def test_drained_segments_are_deleted_and_the_live_one_is_not(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, segment=200)
    for payload in payloads(20):
        spool.append(payload)

    spool.release(spool.end)

    assert [number for number, _ in segments(tmp_path)] == [spool.end.segment]
    assert spool.bytes_on_disk == sum(path.stat().st_size for _, path in segments(tmp_path))
    spool.close()


def test_a_disk_that_refuses_costs_the_frame_and_nothing_else(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.append(b"before")
    real, calls = os.write, iter([3])

    def full(fd: int, data: bytes) -> int:
        for n in calls:
            return real(fd, data[:n])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("forge_collector.spool.os.write", full)
    assert not spool.append(b"lost")
    monkeypatch.undo()

    assert spool.append(b"after")
    assert spool.stats.dropped == {"disk_full": 1}
    assert read_all(spool) == [b"before", b"after"]
    assert spool.stats.skipped_bytes == 0


def test_two_writers_on_one_folder_are_refused(spool: Spool) -> None:
    with pytest.raises(SpoolInUse, match="another collector"):
        open_spool(spool.folder)


def test_the_identity_outlives_the_process(spool: Spool) -> None:
    again = reopened(spool)

    assert again.id == spool.id
    again.close()


def test_numbers_of_segments_never_come_back_after_all_are_gone(spool: Spool) -> None:
    spool.append(b"one")
    gone = segments(spool.folder)[-1][0]
    spool.close()
    segments(spool.folder)[-1][1].unlink()
    again = open_spool(spool.folder)

    again.append(b"two")

    assert again.end.segment > gone
    again.close()


def test_a_reader_sees_only_what_the_writer_has_finished(spool: Spool) -> None:
    spool.append(b"whole")
    number, path = segments(spool.folder)[-1]
    with path.open("ab") as file:
        file.write(MAGIC + b"\x20\0\0\0")  # a frame that is being written just now

    reader = spool.reader(Position())

    assert reader.read(10) == [b"whole"]
    assert reader.read(10) == []
    assert (reader.position.segment, spool.stats.skipped_bytes) == (number, 0)


@pytest.mark.parametrize("left_over", [[], [b"old"]])
def test_a_segment_that_appears_while_a_reader_looks_is_read_later_and_whole(
    tmp_path: Path, left_over: list[bytes]
) -> None:
    spool = open_spool(tmp_path)
    for payload in left_over:
        spool.append(payload)
    spool = reopened(spool)
    before = spool.end
    spool.append(b"one")
    ends = iter([before, Position(spool.end.segment, 2 * spool.end.offset)])
    reader = SpoolReader(tmp_path, START, lambda: next(ends))

    first = reader.read(10)
    spool.append(b"two")
    second = reader.read(10)

    assert (first, second) == (left_over, [b"one", b"two"])
    spool.close()


def test_the_folder_is_nobody_elses_business(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool")
    spool.append(b"private")

    assert (tmp_path / "spool").stat().st_mode & 0o077 == 0
    assert segments(tmp_path / "spool")[0][1].stat().st_mode & 0o077 == 0
    spool.close()


def refuse(monkeypatch: pytest.MonkeyPatch, call: str, number: int, times: int = 1 << 30) -> None:
    """`os.<call>` fails so often, then does its work again."""
    real, left = getattr(os, call), iter(range(times))

    def failing(*args: Any, **kwargs: Any) -> Any:
        if next(left, None) is None:
            return real(*args, **kwargs)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(f"forge_collector.spool.os.{call}", failing)


def test_a_new_segment_that_cannot_be_made_costs_the_frame_and_not_the_spool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool(tmp_path, segment=100)
    spool.append(b"x" * 80)
    refuse(monkeypatch, "open", errno.ENOSPC)

    assert not spool.append(b"lost" * 20)
    assert spool.refusing == "disk_full"
    monkeypatch.undo()

    assert spool.append(b"after")
    assert spool.refusing is None
    assert spool.stats.dropped == {"disk_full": 1}
    assert read_all(spool) == [b"x" * 80, b"after"]
    spool.close()


def test_a_full_disk_is_met_with_the_reserve_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = open_spool(tmp_path, reserve=3 << 20)
    wait_until(lambda: spool.reserve.left == 3 << 20)
    refuse(monkeypatch, "write", errno.ENOSPC, times=2)

    assert spool.append(b"kept")

    assert (tmp_path / "reserve").stat().st_size == spool.reserve.left < 3 << 20
    assert spool.stats.dropped == {}
    assert read_all(spool) == [b"kept"]
    spool.close()


def test_a_full_disk_is_met_with_the_space_of_what_was_drained(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.append(b"drained")
    [(_, drained)] = segments(spool.folder)
    spool.release(spool.end)
    refuse(monkeypatch, "write", errno.ENOSPC, times=1)

    assert spool.append(b"kept")

    assert drained.stat().st_size == 0
    assert read_all(spool) == [b"kept"]
    assert spool.bytes_on_disk == sum(path.stat().st_size for _, path in segments(spool.folder))


def test_a_reserve_that_somebody_deleted_is_no_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool(tmp_path, reserve=3 << 20)
    wait_until(lambda: spool.reserve.left == 3 << 20)
    (tmp_path / "reserve").unlink()
    refuse(monkeypatch, "write", errno.ENOSPC, times=3)

    assert not spool.append(b"lost")

    assert spool.append(b"kept")
    assert spool.stats.dropped == {"disk_full": 1}
    spool.close()


def test_a_clock_that_went_back_hides_nothing_that_comes_after_all_was_drained(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.append(b"drained")
    position = spool.end
    spool.release(position)
    spool.recycle()
    monkeypatch.setattr("forge_collector.spool.time.time_ns", lambda: 1)
    again = reopened(spool)

    again.append(b"kept")

    assert read_all(again, position) == [b"kept"]
    again.close()


def test_a_disk_that_fails_is_given_a_new_file(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    spool.append(b"before")
    refuse(monkeypatch, "write", errno.EIO, times=1)
    assert not spool.append(b"lost")

    assert spool.append(b"after")

    assert spool.stats.dropped == {"write_failed_EIO": 1}
    assert len(segments(spool.folder)) == 2
    assert read_all(spool) == [b"before", b"after"]


def test_after_a_failed_fsync_nothing_more_is_written_to_that_file(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = iter([OSError(errno.EIO, "Input/output error")])

    def sync(_: int) -> None:
        for error in fails:
            raise error

    monkeypatch.setattr("forge_collector.spool.sync", sync)
    spool.append(b"unconfirmed")
    wait_until(lambda: spool.stats.fsync_failures == 1)
    assert spool.fsync_error is not None

    spool.append(b"confirmed")

    assert len(segments(spool.folder)) == 2
    wait_until(lambda: spool.fsync_error is None)
    assert read_all(spool) == [b"unconfirmed", b"confirmed"]


def test_a_disk_that_fails_every_fsync_is_not_filled_with_files(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "fdatasync" if hasattr(os, "fdatasync") else "fsync", errno.EIO)
    for failures in range(1, 6):
        spool.append(b"x")
        wait_until(lambda least=failures: spool.stats.fsync_failures >= least)  # type: ignore[misc]

    assert len(segments(spool.folder)) <= 2


def test_a_segment_that_the_disk_cannot_read_is_set_aside_and_stops_no_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool(tmp_path, segment=60)
    for payload in (b"a" * 40, b"b" * 40, b"c" * 40):
        spool.append(payload)
    broken = segments(tmp_path)[1][1]
    real = os.pread

    def pread(fd: int, size: int, at: int) -> bytes:
        if os.path.sameopenfile(fd, bad):
            raise OSError(errno.EIO, "Input/output error")
        return real(fd, size, at)

    with broken.open("rb") as file:
        bad = file.fileno()
        monkeypatch.setattr("forge_collector.frames.os.pread", pread)
        frames = read_all(spool)

    assert frames == [b"a" * 40, b"c" * 40]
    assert spool.stats.skipped_bytes == 52
    assert broken.with_suffix(".unreadable").exists()
    spool.close()


def test_a_limit_below_the_size_of_a_segment_does_not_fill_up_for_good(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, limit=1000, segment=1 << 20)
    reader = spool.reader(START)

    for _ in range(50):
        assert spool.append(b"x" * 200)
        reader.read(10)
        spool.release(reader.position)

    assert spool.bytes_on_disk <= 1000
    spool.close()


def test_what_was_written_before_a_roll_is_deleted_once_it_is_drained(spool: Spool) -> None:
    spool.append(b"to be erased")
    [(_, path)] = segments(spool.folder)
    reader = spool.reader(START)

    spool.roll()
    target = spool.end
    assert reader.read(10) == [b"to be erased"]
    reader.read(10)
    spool.release(reader.position)

    assert reader.position >= target
    assert not path.exists()


def test_a_folder_that_cannot_be_written_is_refused_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(SpoolUnusable, match="cannot write to"):
        open_spool(tmp_path / "file" / "spool")


def test_a_frame_is_synced_whenever_it_comes(spool: Spool) -> None:
    # While the fsync thread is awake, just as it goes to sleep, and when it has slept for long.
    for pause_ms in (*range(30), 60, 120):
        before = spool.stats.fsyncs
        spool.append(b"one")
        wait_until(lambda least=before: spool.stats.fsyncs > least)  # type: ignore[misc]
        time.sleep(pause_ms / 1000)


def test_a_spool_that_sleeps_is_closed_at_once(spool: Spool) -> None:
    spool.append(b"one")
    time.sleep(0.1)
    begun = time.monotonic()

    spool.close()

    assert time.monotonic() - begun < 5


def test_every_fsync_group_is_counted_and_dated(spool: Spool) -> None:
    begun = time.time()
    spool.append(b"one")

    wait_until(lambda: spool.stats.fsyncs > 0)

    assert begun <= spool.stats.last_fsync_at <= time.time()


@given(
    payloads=st.lists(st.binary(max_size=60), min_size=1, max_size=12),
    damages=st.lists(st.tuples(st.integers(0, 1000), st.binary(min_size=1, max_size=30)), max_size=3),
)
@settings(max_examples=150, deadline=None)
def test_whatever_is_damaged_only_damaged_frames_are_missing(
    payloads: list[bytes], damages: list[tuple[int, bytes]]
) -> None:
    written = b"".join(framed(payload) for payload in payloads)
    data = bytearray(written)
    for at, junk in damages:
        begin = at % len(data)
        data[begin : begin + len(junk)] = junk[: len(data) - begin]
    # One damage may undo another.
    hurt = {i for i, byte in enumerate(written) if data[i] != byte}
    whole, at = [], 0
    for payload in payloads:
        size = len(framed(payload))
        if not hurt & set(range(at, at + size)):
            whole.append(payload)
        at += size

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, f"{1:020d}.seg").write_bytes(data)
        reader = SpoolReader(Path(folder), START, lambda: Position(1, len(data)))
        frames = reader.read(1000)

    assert frames == whole
    assert reader.position == Position(1, len(data))
