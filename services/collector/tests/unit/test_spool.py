"""The log on disk: whole frames come back in order, torn ones cost only themselves."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from forge_collector.spool import MAGIC, Position, Spool, SpoolInUse, SpoolReader, segments

START = Position()


def open_spool(folder: Path, *, limit: int = 1 << 20, segment: int = 1 << 16) -> Spool:
    return Spool(folder, limit_bytes=limit, segment_bytes=segment, fsync_s=0.001)


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
    assert spool.stats.dropped == {"write_failed_28": 1}
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
