"""Attacks in SQL: each ends as it should; no file is opened, no other case's database is seen."""

from __future__ import annotations

import pytest

from forge_evaluator.sandbox import Answer, End, SqlJob, SqlRun

pytestmark = pytest.mark.integration

SETUP = "CREATE TABLE t (a INTEGER, b TEXT);"
DATA = "INSERT INTO t VALUES (1, 'one'), (2, 'two');"
# name: (script, what is said of it)
REFUSED = {
    "attaches a file": ("ATTACH '/tmp/x.db' AS x", "not authorized"),
    "attaches another database in memory": ("ATTACH ':memory:' AS x", "not authorized"),
    "copies itself into a file": ("VACUUM INTO '/tmp/x.db'", "authorization denied|not authorized"),
    "loads an extension": ("SELECT load_extension('/lib/x86_64-linux-gnu/libm.so.6')", "not authorized"),
    "reads a file": ("SELECT readfile('/etc/passwd')", "no such function|not authorized"),
    "writes a file": ("SELECT writefile('/tmp/x', 'x')", "no such function|not authorized"),
    "makes a table of a file": ("CREATE VIRTUAL TABLE v USING csv(filename='/etc/passwd')", "no such module|authorized"),
    "moves the temporary files": ("PRAGMA temp_store_directory = '/usr'", "not authorized"),
    "writes into the schema": ("PRAGMA writable_schema = ON", "not authorized"),
    "turns the journal off": ("PRAGMA journal_mode = OFF", "not authorized"),
    "maps memory": ("PRAGMA mmap_size = 268435456", "not authorized"),
    "more rows than anybody compares": (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 60000) SELECT i FROM n",
        "TooManyRows",
    ),
    "no SQL": ("DROP everything", "syntax error"),
}  # fmt: skip
BOMBS = {
    "counts without end": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    "a product of products": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000) "
    "SELECT count(*) FROM n a, n b, n c, n d",
}
MEMORY = {
    "a blob of a gigabyte": "SELECT length(randomblob(999999999))",
    "a text that doubles": "WITH RECURSIVE n(s) AS (SELECT hex(zeroblob(1000)) UNION ALL SELECT s || s FROM n) SELECT max(length(s)) FROM n",
}


@pytest.fixture(scope="module")
def sql(pool):
    if not pool.tier.sqlite:
        pytest.skip(f"no SQLite behind these walls: {pool.tier.description}")
    return pool


ONE = (SqlRun(DATA),)


def run(pool, script, *, cases=ONE):
    return pool.run_sql(SqlJob(SETUP, script, cases))


def is_clean(pool):
    (reply,) = run(pool, "SELECT count(*) FROM t").replies
    return reply.value == [[2]]


@pytest.mark.parametrize("name", REFUSED)
def test_what_reaches_out_of_the_database_is_refused(sql, name):
    script, said = REFUSED[name]

    (reply,) = run(sql, script).replies

    assert reply.kind is Answer.RAISED
    assert any(part in reply.text for part in said.split("|")), reply
    assert is_clean(sql)


@pytest.mark.parametrize("name", BOMBS)
def test_an_endless_query_meets_the_limit_on_cpu_time(sql, name):
    execution = run(sql, BOMBS[name])

    assert execution.end is End.CPU or execution.replies[0].kind is Answer.RAISED
    assert is_clean(sql)


@pytest.mark.parametrize("name", MEMORY)
def test_a_giant_value_meets_the_limit_on_memory(sql, name):
    execution = run(sql, MEMORY[name])

    assert execution.end in {End.CPU, End.KILLED} or execution.replies[0].kind is Answer.RAISED
    assert is_clean(sql)


def test_every_case_has_a_database_of_its_own(sql):
    cases = (SqlRun(DATA, probe="SELECT count(*) FROM t"),) * 2

    execution = run(sql, "INSERT INTO t VALUES (3, 'three'); CREATE TABLE kept (x)", cases=cases)

    assert [reply.value for reply in execution.replies] == [[[3]], [[3]]]


def test_the_rows_of_the_last_query_are_told_whatever_stands_around_it(sql):
    script = (
        "SELECT 'first;';\n-- a note; and more\nSELECT b, a * 1.5, NULL, x'00ff' FROM t ORDER BY a;\n-- done"
    )

    (reply,) = run(sql, script).replies

    assert reply.value == [["one", 1.5, None, {"$bytes": "00ff"}], ["two", 3.0, None, {"$bytes": "00ff"}]]


def test_a_trigger_is_one_statement(sql):
    script = """CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET b = 'x' WHERE a = 9; DELETE FROM t WHERE a = 1; END;
    INSERT INTO t VALUES (9, 'nine');"""

    (reply,) = run(sql, script, cases=(SqlRun(DATA, probe="SELECT a, b FROM t ORDER BY a"),)).replies

    assert reply.value == [[2, "two"], [9, "x"]]


def test_a_broken_benchmark_is_not_blamed_on_the_answer(sql):
    execution = run(sql, "SELECT 1", cases=(SqlRun("INSERT INTO nowhere VALUES (1)"),))

    assert execution.replies[0].text.startswith("BenchmarkBroken: ")
