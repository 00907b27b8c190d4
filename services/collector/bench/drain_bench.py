"""Spool to Postgres: exchanges of 4 KB a second through the real drainer, beside a bare COPY of the same bytes.

The bare COPY (one table, one text column, no index, one transaction for all) is what this machine's Postgres can do at
most. Both with fsync on, in turns, in the same run.

    python services/collector/bench/drain_bench.py [--exchanges 20000] [--rounds 3] [--json]
"""

# ruff: noqa: T201  a table on the terminal is what this is for
from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson
import psycopg
from payloads import long_text
from stage import database, table

from forge_collector.drainer import Drainer
from forge_collector.settings import Settings
from forge_collector.spool import Spool
from forge_common.db.session import make_engine

SIZE = 4096
FLOOR = 5000
WORDS = sorted({*long_text(8 * SIZE).split(), *(f"item{i}" for i in range(400))})
# Compressed as our table is, and with nothing else of it.
BARE = """
create table bare (document text);
do $$ begin
    if exists (select from pg_attribute where attrelid = 'collector.exchanges'::regclass
               and attname = 'document' and attcompression = 'l') then
        alter table bare alter document set compression lz4;
    end if;
end $$"""


@dataclass(frozen=True)
class Figure:
    """`cpu_us` is the collector's own CPU time per exchange; Postgres's runs beside it."""

    name: str
    per_s: float
    cpu_us: float


def record(i: int) -> bytes:
    """A conversation of some turns, as the recorder writes it; no two texts are the same."""
    # Words of prose and code in another order each time: compressed by lz4 to about two thirds, as real text is.
    text = " ".join(random.Random(i).choices(WORDS, k=SIZE // 4))  # noqa: S311
    exchange = {
        "schema_version": 1, "id": f"ex_{i:012x}{i * 2654435761 % 2**48:012x}", "domain": "coding",
        "conversation_id": f"conv_{i // 4:024x}", "origin": "proxy", "dialect": "openai",
        "upstream": "https://api.openai.com/v1", "model_asked": "teacher", "model_served": "teacher-1",
        "finish_reason": "stop", "complete": True, "cost_usd": None, "tools": None, "alternatives": None,
        "usage": {"prompt_tokens": 700, "completion_tokens": 240, "cached_tokens": 0}, "status": 200,
        "sampling": {"temperature": 0.7}, "captured_at": datetime.now(UTC).isoformat(),
        "first_byte_s": 0.31, "total_s": 4.2, "answer": {"role": "assistant", "content": text[:1200]},
        "messages": [{"role": "system", "content": "You are a careful colleague."},
                     {"role": "user", "content": text[1200:1900]},
                     {"role": "assistant", "content": text[1900:2600]}],
    }  # fmt: skip
    room = SIZE - len(orjson.dumps(exchange)) - len(b',{"role":"user","content":""}')
    exchange["messages"].append({"role": "user", "content": text[2600 : 2600 + room]})  # type: ignore[attr-defined]
    return orjson.dumps(exchange)


def drained(url: str, records: list[bytes]) -> Figure:
    """From a full spool to its last exchange in Postgres, with the collector's default settings."""
    settings = Settings(FORGE_DATABASE_URL=url)  # type: ignore[call-arg]
    engine = make_engine(url)
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(
            Path(folder),
            limit_bytes=settings.spool_limit,
            segment_bytes=settings.spool_segment,
            fsync_s=0.003,
        )
        for payload in records:
            assert spool.append(payload)
        drainer = Drainer(
            spool, engine, batch=settings.drain_batch, linger_s=settings.drain_linger.total_seconds()
        )
        begin, cpu = time.perf_counter(), time.process_time()
        drainer.start()
        assert drainer.wait_until_drained(600)
        took, used = time.perf_counter() - begin, time.process_time() - cpu
        drainer.stop()
        spool.close()
    check(url, records)
    engine.dispose()
    return Figure("spool to Postgres", len(records) / took, used / len(records) * 1e6)


def check(url: str, records: list[bytes]) -> None:
    """Every one is there, once, as it was written; then the table is emptied."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        stored = connection.execute("select document from collector.exchanges order by id").fetchall()
        assert [unlabelled(document) for (document,) in stored] == [
            unlabelled(payload) for payload in records
        ]
        connection.execute("truncate collector.exchanges, collector.spool_position")


def unlabelled(document: str | bytes) -> dict[str, object]:
    """Without the type of task, which the drainer adds."""
    return orjson.loads(document) | {"task_type": None}


def copied(url: str, records: list[bytes]) -> Figure:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute(BARE)
        begin, cpu = time.perf_counter(), time.process_time()
        with connection.cursor() as cursor, cursor.copy("copy bare from stdin (format binary)") as copy:
            copy.set_types(["text"])
            for payload in records:
                copy.write_row([payload.decode()])
        connection.commit()
        took, used = time.perf_counter() - begin, time.process_time() - cpu
        connection.execute("drop table bare")
    return Figure("bare COPY", len(records) / took, used / len(records) * 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--exchanges", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    records = [record(i) for i in range(given.exchanges)]
    with database() as url:
        rounds = [(drained(url, records), copied(url, records)) for _ in range(given.rounds)]
    ours, bare = (
        sorted(pair, key=lambda figure: figure.per_s)[len(pair) // 2] for pair in zip(*rounds, strict=True)
    )
    ratio = statistics.median(drain.per_s / copy.per_s for drain, copy in rounds)
    if given.json:
        print(
            json.dumps({"per_s": ours.per_s, "bare_per_s": bare.per_s, "ratio": ratio, "cpu_us": ours.cpu_us})
        )
        return
    table(
        f"{given.exchanges} exchanges of {SIZE} bytes, median of {given.rounds} rounds (floor {FLOOR}/s)",
        ("", "exchanges/s", "collector CPU µs", "of a bare COPY"),
        [
            (ours.name, round(ours.per_s), ours.cpu_us, ratio),
            (bare.name, round(bare.per_s), bare.cpu_us, 1.0),
        ],
    )


if __name__ == "__main__":
    main()
