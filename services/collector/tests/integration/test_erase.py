"""What is erased is nowhere any more: not in a row, not on disk, not in a dataset; and who learnt from it is named."""

import json
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from forge_common.contracts.domain import DomainDocument

pytestmark = pytest.mark.integration

SECRET = 'the "Kestrel" file \u2014 50%_done\nfor Zo\u00eb'


def exchange(number: int, text: str = "", **fields: Any) -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "content": f"question number {number} {text}"}],
        "answer": {"role": "assistant", "content": f"answer number {number}"},
        **fields,
    }


def erase(collector: Any, **selection: Any) -> dict[str, Any]:
    found: dict[str, Any] = collector.api("POST", "erase", json=selection)
    return found


def counts(found: dict[str, Any]) -> tuple[int, int, int]:
    return found["exchanges"], found["conversations"], found["feedback"]


def on_disk(collector: Any) -> bytes:
    """All that lies below the collector's home."""
    home = Path(collector.env["FORGE_HOME"])
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())


def put_domain(registry: Any, name: str = "tiny") -> None:
    document = DomainDocument.model_validate(
        {"id": name, "name": name, "base_model": "base", "model_prefix": name, "data": {"min_examples": 1}}
    )
    registry.domains[name] = document.model_dump(mode="json")


@pytest.fixture
def dataset(collector: Any, registry: Any) -> str:
    """Built from ten conversations of the domain `tiny`, and trained on as v4, which is live."""
    put_domain(registry)
    registry.forgotten.clear()
    registry.busy = False
    rows = [exchange(n, domain="tiny", conversation_id=f"c{n}") for n in range(10)]
    collector.api("POST", "exchanges", json=rows)
    sha256: str = collector.api("POST", "datasets", json={"domain": "tiny"})["dataset"]["sha256"]
    version = {"domain": "tiny", "number": 4, "model": "tiny:v4", "is_live": True, "is_deployed": True}
    registry.versions["tiny"] = [version | {"created_at": "2026-01-01T00:00:00Z", "dataset": sha256}]
    return sha256


@pytest.mark.parametrize(
    "where",
    [
        {"text": SECRET},
        {"answer": {"role": "assistant", "content": SECRET}},
        {
            "answer": {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": "1",
                        "type": "function",
                        "function": {"name": "f", "arguments": json.dumps({"x": SECRET})},
                    }
                ],
            }
        },
    ],
)
def test_text_is_found_as_it_stands_and_inside_json(collector: Any, where: dict[str, Any]) -> None:
    collector.api("POST", "exchanges", json=[exchange(1, **where), exchange(2, text="the Kestrel 50Xdone")])

    found = erase(collector, text=SECRET)

    assert counts(found) == (1, 1, 0)
    assert [row["messages"][0]["content"] for row in collector.stored()] == [
        "question number 2 the Kestrel 50Xdone"
    ]


def test_a_conversation_goes_whole_with_its_feedback_and_the_answers_of_other_models(collector: Any) -> None:
    rows = [
        exchange(1, conversation_id="mine", id="ex_1"),
        exchange(2, conversation_id="mine", id="ex_2"),
        exchange(1, conversation_id="else", id="ex_3", pair_of="ex_1", origin="compare"),
        exchange(4, conversation_id="other", id="ex_4"),
    ]
    collector.api("POST", "exchanges", json=rows)
    for name in ("ex_1", "ex_4"):
        collector.api("POST", "feedback", json={"exchange_id": name, "thumb": 1})

    found = erase(collector, conversation="mine")

    assert counts(found) == (3, 2, 1)
    assert [row["id"] for row in collector.stored()] == ["ex_4"]
    with collector.connect() as connection:
        assert connection.execute("select exchange_id from collector.feedback").fetchall() == [("ex_4",)]


def test_a_correction_that_fits_takes_its_exchange_along(collector: Any) -> None:
    collector.api("POST", "exchanges", json=[exchange(1, id="ex_1"), exchange(2, id="ex_2")])
    collector.api("POST", "feedback", json={"exchange_id": "ex_1", "corrected": f"no: {SECRET}"})

    assert counts(erase(collector, text=SECRET)) == (1, 1, 1)
    assert [row["id"] for row in collector.stored()] == ["ex_2"]


def test_age_and_domain_narrow_each_other(collector: Any) -> None:
    rows = [
        exchange(1, id="ex_1", domain="legal", captured_at="2020-01-01T00:00:00Z"),
        exchange(2, id="ex_2", domain="coding", captured_at="2020-01-01T00:00:00Z"),
        exchange(3, id="ex_3", domain="legal"),
    ]
    collector.api("POST", "exchanges", json=rows)

    assert counts(erase(collector, before="2021-01-01T00:00:00Z", domain="legal")) == (1, 1, 0)
    assert [row["id"] for row in collector.stored()] == ["ex_2", "ex_3"]


@pytest.mark.parametrize("selection", [{}, {"domain": "coding"}, {"text": "ab"}, {"dry_run": True}])
def test_an_erasure_of_everything_has_to_be_named(collector: Any, selection: dict[str, Any]) -> None:
    headers = {"x-forge-key": "forge-key-for-tests"}
    reply = httpx2.post(f"{collector.url}/forge/v1/erase", headers=headers, json=selection)

    assert reply.status_code == 422


def test_a_preview_erases_nothing_and_says_the_same(collector: Any, dataset: str, registry: Any) -> None:
    preview = erase(collector, conversation="c3", dry_run=True)

    assert len(collector.stored()) == 10
    assert registry.forgotten == []
    assert erase(collector, conversation="c3") == preview
    assert erase(collector, conversation="c3")["exchanges"] == 0


def test_datasets_are_withdrawn_and_their_versions_named(collector: Any, dataset: str, registry: Any) -> None:
    found = erase(collector, conversation="c3")

    assert (found["datasets"], found["pending"]) == ([dataset], {})
    assert [(v["model"], v["is_live"]) for v in found["versions"]] == [("tiny:v4", True)]
    assert registry.forgotten == [dataset]
    with collector.connect() as connection:
        members = connection.execute("select exchange_id from collector.dataset_members").fetchall()
    assert len(members) == 9


def test_a_dataset_that_a_run_is_working_with_is_forgotten_later(
    collector: Any, dataset: str, registry: Any
) -> None:
    registry.busy = True
    first = erase(collector, conversation="c3")
    registry.busy = False
    second = erase(collector, conversation="c4")

    assert "run_1 is working with it" in first["pending"][dataset]
    assert second["pending"] == {}
    assert registry.forgotten == [dataset]


def test_nothing_of_it_stays_on_disk(collector: Any) -> None:
    word = f"kestrel-{time.time_ns()}"
    for number in range(3):
        ask = {"role": "user", "content": f"{number} {word}"}
        collector.sdk().chat.completions.create(model="m", messages=[ask])
    assert word.encode() in on_disk(collector)

    found = erase(collector, text=word)

    assert found["exchanges"] == 3
    assert word.encode() not in on_disk(collector)


def test_what_was_set_aside_is_erased_too(collector: Any) -> None:
    set_aside = Path(collector.env["FORGE_HOME"]) / "collector" / "spool" / "rejected.jsonl"
    lines = [
        json.dumps(exchange(n, text=word, conversation_id="c")) for n, word in enumerate(("keep", SECRET))
    ]
    set_aside.write_text("\n".join(lines) + "\n")

    found = erase(collector, text=SECRET)

    assert found["set_aside"] == 1
    assert set_aside.read_text() == lines[0] + "\n"


def test_a_dataset_that_comes_back_is_forgotten_again(collector: Any, dataset: str, registry: Any) -> None:
    erase(collector, conversation="c3")
    collector.api("POST", "exchanges", json=exchange(3, domain="tiny", conversation_id="c3"))
    again = collector.api("POST", "datasets", json={"domain": "tiny"})["dataset"]["sha256"]
    assert again == dataset

    found = erase(collector, conversation="c3")

    assert (found["datasets"], found["pending"]) == ([dataset], {})
    assert registry.forgotten == [dataset, dataset]


def test_a_file_that_another_dataset_has_as_well_is_kept(collector: Any, dataset: str, registry: Any) -> None:
    more = [exchange(n, domain="tiny", conversation_id=f"c{n}") for n in range(10, 40)]
    known = {row["conversation_id"] for row in collector.stored()}
    for one in more:
        collector.api("POST", "exchanges", json=one)
        later = collector.api("POST", "datasets", json={"domain": "tiny"})
        manifest = later["manifest"]
        first = json.loads(registry.store.path(dataset).read_bytes())
        if manifest["valid"]["sha256"] == first["valid"]["sha256"]:
            break
        # It fell into the validation rows: erase it, and try the next.
        erase(collector, conversation=one["conversation_id"])
    assert one["conversation_id"] not in known
    registry.kept.clear()

    erase(collector, conversation=one["conversation_id"])

    assert registry.kept[-1] == {"keep": first["valid"]["sha256"]}


def test_nothing_stays_in_the_registry_when_a_build_ends_halfway(
    collector: Any, dataset: str, registry: Any
) -> None:
    from forge_collector import repository
    from forge_common.contracts.base import ArtifactRef
    from forge_common.contracts.dataset import DatasetManifest
    from forge_common.db.session import make_engine, session_scope

    half = ArtifactRef(sha256="e" * 64, size=1, kind="dataset")
    manifest = DatasetManifest.model_validate_json(registry.store.path(dataset).read_bytes())
    engine = make_engine(collector.env["FORGE_DATABASE_URL"])
    with session_scope(engine) as session:
        # What a build that was killed between its first upload and its end leaves behind.
        repository.save_dataset(session, half, manifest, seen_until=None)
    engine.dispose()

    erase(collector, conversation="of nobody")

    assert registry.forgotten == [half.sha256]


def test_a_dataset_never_gets_a_row_that_was_erased_meanwhile(collector: Any, dataset: str) -> None:
    from forge_collector.datasets import ExchangesErased, save_members
    from forge_common.contracts.base import ArtifactRef
    from forge_common.db.session import make_engine, session_scope

    engine = make_engine(collector.env["FORGE_DATABASE_URL"])
    sources = [row["id"] for row in collector.stored()]
    erase(collector, conversation="c3")

    with pytest.raises(ExchangesErased, match="1 of"), session_scope(engine) as session:
        save_members(session, ArtifactRef(sha256="f" * 64, size=1, kind="dataset"), sources)

    engine.dispose()
