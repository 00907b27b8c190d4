"""What the sender does when the other side is slow, small or gone. The real other side is in tests/integration."""

import json
from pathlib import Path
from typing import Any

import pytest

from forge_cli.imports import sender as sender_module
from forge_cli.imports.files import Source
from forge_cli.imports.rejected import RejectedFile
from forge_cli.imports.sender import NothingKnown, Sender
from forge_common.contracts.imports import (
    Batch,
    ImportReceipt,
    ImportStart,
    ImportState,
    Preview,
    Record,
    RejectedRecord,
)
from forge_common.errors import DependencyDown, Invalid, RemoteProblem

START = ImportStart(domain="coding")


class Collector:
    """Accepts what has an `a`, takes at most `largest` characters at once, and is away for the first `down` batches."""

    def __init__(self, *, largest: int = 10**9, down: int = 0, position: int = 0) -> None:
        self.largest, self.down = largest, down
        self.taken: list[Record] = []
        self.state = ImportState(id="imp_" + "0" * 16, position=position, finished=False)

    def begin_import(self, import_id: str, start: ImportStart) -> ImportState:
        self.state = self.state.model_copy(update={"id": import_id})
        return self.state

    def import_batch(self, import_id: str, batch: Batch) -> ImportState:
        if self.down > 0:
            self.down -= 1
            raise DependencyDown("away", code="service_unreachable")
        if sum(len(record.text or "") for record in batch.records) > self.largest:
            raise RemoteProblem("too large", code="request_too_large", status=413)
        assert batch.position == self.state.position
        self.taken += batch.records
        rejections = tuple(
            RejectedRecord(at=r.at, reason=r.refused or "no a")
            for r in batch.records
            if '"a"' not in (r.text or "")
        )
        self.state = self.state.model_copy(
            update={
                "position": batch.position + len(batch.records),
                "rejected": self.state.rejected + len(rejections),
                "rejections": rejections,
            }
        )
        return self.state

    def finish_import(self, import_id: str) -> ImportState:
        self.state = self.state.model_copy(update={"finished": True})
        return self.state

    def preview_import(self, preview: Preview) -> ImportReceipt:
        known = sum('"a"' in (record.text or "") for record in preview.records)
        first = RejectedRecord(at=preview.records[0].at, reason="of no known format")
        return ImportReceipt(formats={"plain": known} if known else {}, rejections=(first,))


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(sender_module, "LONGEST_PAUSE_S", 0.0)


def source(tmp_path: Path, *lines: Any) -> Source:
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Source.open(path)


def test_a_batch_that_is_too_large_is_sent_in_parts_and_a_record_is_refused(tmp_path: Path) -> None:
    collector = Collector(largest=60)
    opened = source(tmp_path, {"a": 1}, {"a": "x" * 40}, {"a": "y" * 100}, {"a": 2})

    done = Sender(collector, START).send(opened, opened.records())

    assert [record.at for record in collector.taken] == [1, 2, 3, 4]
    assert [record.refused is None for record in collector.taken] == [True, True, False, True]
    assert (done.records, done.receipt.rejected) == (4, 1)


def test_a_collector_that_is_away_for_a_while_is_waited_for(tmp_path: Path) -> None:
    collector = Collector(down=3)
    opened = source(tmp_path, {"a": 1})

    assert Sender(collector, START).send(opened, opened.records()).records == 1


def test_a_collector_that_stays_away_ends_the_run_with_how_far_it_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "PATIENCE_S", 0.0)
    opened = source(tmp_path, {"a": 1})

    with pytest.raises(DependencyDown, match=r"0 records are dealt with.*it goes on from there"):
        Sender(Collector(down=1000), START).send(opened, opened.records())


def test_a_file_of_nothing_known_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    collector = Collector()
    opened = source(tmp_path, {"b": 1})

    with pytest.raises(NothingKnown, match="--format"):
        Sender(collector, START).send(opened, opened.records())
    assert collector.taken == []


def test_a_run_that_goes_on_sends_only_the_rest(tmp_path: Path) -> None:
    collector = Collector(position=2)
    opened = source(tmp_path, {"a": 1}, {"a": 2}, {"a": 3})

    done = Sender(collector, START).send(opened, opened.records())

    assert [record.at for record in collector.taken] == [3]
    assert done.resumed_at == 2


def test_the_rejected_file_is_completed_after_a_kill_and_has_each_record_once(tmp_path: Path) -> None:
    opened = source(tmp_path, {"a": 1}, {"b": 2}, {"b": 3}, {"b": 4})
    import_id = opened.import_id(START)
    collector = Collector(position=3)
    both = (RejectedRecord(at=2, reason="no a"), RejectedRecord(at=3, reason="no a"))
    collector.state = collector.state.model_copy(update={"rejections": both})
    out = tmp_path / "left-out.jsonl"
    entry = {"import": import_id, "file": "x.jsonl", "record": 2, "reason": "no a", "text": '{"b": 2}'}
    out.write_text(json.dumps(entry) + "\n" + '{"import": "torn')

    with RejectedFile(out, anew=False) as rejected:
        Sender(collector, START, rejected=rejected).send(opened, opened.records())

    written = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(w["record"], w["text"]) for w in written] == [(2, '{"b": 2}'), (3, '{"b": 3}'), (4, '{"b": 4}')]


def test_the_rejected_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    with RejectedFile(tmp_path / "new.jsonl", anew=True):
        assert (tmp_path / "new.jsonl").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("anew", [False, True])
def test_a_file_that_is_something_else_is_not_written_over(tmp_path: Path, anew: bool) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("my notes\n")

    with pytest.raises(Invalid, match="no file of rejected records"):
        RejectedFile(notes, anew=anew)
    assert notes.read_text() == "my notes\n"
