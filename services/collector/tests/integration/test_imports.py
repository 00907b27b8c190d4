"""Imports over the API: whatever is killed or sent twice, the rows are exactly those of the file."""

import json
import secrets
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
import pytest

from forge_collector.endpoints.imports import MOST_BYTES

pytestmark = pytest.mark.integration
KEY = {"x-forge-key": "forge-key-for-tests"}
EXPORTS = Path(__file__).parents[1] / "exports"


def new_id() -> str:
    return f"imp_{secrets.token_hex(12)}"


def begin(collector: Any, import_id: str, **start: Any) -> Any:
    return collector.api("POST", f"imports/{import_id}", json={"domain": "coding"} | start)


def records(*texts: Any, first: int = 1) -> list[dict[str, Any]]:
    return [
        {"at": at, "text": t if isinstance(t, str) else json.dumps(t)} for at, t in enumerate(texts, first)
    ]


def send(collector: Any, import_id: str, position: int, batch: list[dict[str, Any]]) -> Any:
    return collector.api(
        "POST", f"imports/{import_id}/records", json={"position": position, "records": batch}
    )


def feedback(collector: Any) -> list[tuple[str, int | None, str | None]]:
    with collector.connect() as connection:
        rows = connection.execute(
            "select exchange_id, thumb, note from collector.feedback order by id"
        ).fetchall()
    return [(i, thumb, note) for i, thumb, note in rows]


def test_a_batch_and_its_position_are_stored_together_and_once(collector: Any) -> None:
    import_id = new_id()
    batch = records({"prompt": "p1", "response": "r1"}, "broken", {"prompt": "p2", "response": "r2"})

    started = begin(collector, import_id)
    first = send(collector, import_id, 0, batch)
    again = send(collector, import_id, 0, batch)
    resumed = begin(collector, import_id)

    assert (started["position"], started["finished"]) == (0, False)
    assert (first["position"], first["accepted"], first["known"], first["rejected"]) == (3, 2, 0, 1)
    assert first["rejections"] == [
        {"at": 2, "reason": "not JSON: unexpected character, expected a JSON value"}
    ]
    assert again == resumed == first
    assert len(collector.stored()) == 2


def test_a_batch_from_elsewhere_is_refused_and_stores_nothing(collector: Any) -> None:
    import_id = new_id()
    begin(collector, import_id)
    body = {"position": 7, "records": records({"prompt": "p", "response": "r"})}

    reply = httpx2.post(f"{collector.url}/forge/v1/imports/{import_id}/records", json=body, headers=KEY)

    assert (reply.status_code, reply.json()["code"]) == (409, "import_moved")
    assert collector.stored() == []


def test_an_import_that_nobody_began_is_not_found(collector: Any) -> None:
    body = {"position": 0, "records": []}

    reply = httpx2.post(f"{collector.url}/forge/v1/imports/{new_id()}/records", json=body, headers=KEY)

    assert (reply.status_code, reply.json()["code"]) == (404, "import_unknown")


def test_the_same_content_under_another_import_is_known(collector: Any) -> None:
    for expected in ((1, 0), (0, 1)):
        import_id = new_id()
        begin(collector, import_id)
        state = send(collector, import_id, 0, records({"prompt": "p", "response": "r"}))
        assert (state["accepted"], state["known"]) == expected

    assert len(collector.stored()) == 1


def test_a_finished_import_says_so_until_it_is_asked_for_again(collector: Any) -> None:
    import_id = new_id()
    begin(collector, import_id)
    send(collector, import_id, 0, records({"prompt": "p", "response": "r"}))
    collector.api("POST", f"imports/{import_id}/finish")

    assert begin(collector, import_id)["finished"]
    again = begin(collector, import_id, again=True)
    assert (again["finished"], again["position"], again["accepted"]) == (False, 0, 0)


def test_ratings_are_imported_once_and_a_later_word_stands(collector: Any) -> None:
    pair = {"prompt": "Which?", "chosen": "this", "rejected": "that"}
    import_id = new_id()
    begin(collector, import_id)
    send(collector, import_id, 0, records(pair))
    chosen, rejected = sorted(collector.stored(), key=lambda e: e.get("pair_of", ""))
    collector.api("POST", "feedback", json={"exchange_id": chosen["id"], "thumb": -1})
    begin(collector, import_id, again=True)
    send(collector, import_id, 0, records(pair))

    assert rejected["pair_of"] == chosen["id"]
    assert sorted(feedback(collector)) == sorted(
        [(chosen["id"], 1, None), (rejected["id"], -1, None), (chosen["id"], -1, None)]
    )


def test_what_the_source_knew_of_an_exchange_is_kept_and_what_it_said_redacted(collector: Any) -> None:
    record = {
        "prompt": "Mail ann@mail.org", "prompt_hash": "h", "routed_to": "claude", "claude_response": "Done",
        "claude_duration_ms": 1500, "timestamp": "2026-02-24T09:12:44.120Z", "task_type": "coding",
        "session_key": "work-1",
    }  # fmt: skip
    import_id = new_id()
    begin(collector, import_id, domain="legal")
    send(collector, import_id, 0, records(record))

    (stored,) = collector.stored()
    assert stored["messages"][0]["content"] == "Mail <EMAIL_1>"
    assert stored["captured_at"] == "2026-02-24T09:12:44.120000Z"
    assert (stored["domain"], stored["origin"], stored["model_served"]) == ("legal", "proxy", "claude")
    assert (stored["conversation_id"], stored["task_type"], stored["total_s"]) == ("work-1", "coding", 1.5)


def test_a_conversation_named_by_an_address_is_named_anew(collector: Any) -> None:
    names = ["ann@mail.org", "bob@mail.org"]
    import_id = new_id()
    begin(collector, import_id)
    send(
        collector,
        import_id,
        0,
        records(*({"prompt": f"p{n}", "response": "r", "session_id": name} for n, name in enumerate(names))),
    )

    conversations = {exchange["conversation_id"] for exchange in collector.stored()}
    assert len(conversations) == 2
    assert all(name.startswith("conv_") for name in conversations)


def test_hostile_records_cost_no_other(collector: Any) -> None:
    hostile = [
        '{"prompt":"a\\u0000b","response":"c\\u0000d","model":"m\\u0000","session_id":"s\\u0000"}',
        '{"prompt":"\\ud800","response":"lone"}',
        '{"prompt":"many","response":"tokens","trace":{"a":1e400}}',
        '{"messages":[{"role":"user","content":"deep"},{"role":"assistant","content":"d","tool_calls":['
        + '{"a":' * 90 + "1" + "}" * 90 + "]}]}",
        '{"messages":{"role":"user"}}',
        '{"prompt":{"a":1},"response":"r"}',
        '{"trace":"x"}',
        '{"prompt":"fine","response":"fine"}',
    ]  # fmt: skip
    import_id = new_id()
    begin(collector, import_id)

    state = send(collector, import_id, 0, records(*hostile))

    assert state["position"] == len(hostile)
    assert state["accepted"] + state["rejected"] == len(hostile)
    assert "the reader failed" not in json.dumps(state)
    assert "fine" in {exchange["messages"][-1]["content"] for exchange in collector.stored()}


def test_a_receipt_stays_small_whatever_a_file_is_full_of(collector: Any) -> None:
    import_id = new_id()
    begin(collector, import_id)
    for position in (0, 500):
        batch = [{"at": position + n + 1, "refused": f"reason {position + n}"} for n in range(500)]
        state = send(collector, import_id, position, batch)

    assert state["rejected"] == sum(state["reasons"].values()) == 1000
    assert len(state["reasons"]) <= 51
    assert len(state["examples"]) == 50


def test_a_preview_says_the_same_and_keeps_nothing(collector: Any) -> None:
    batch = records({"prompt": "p", "chosen": "a", "rejected": "b"}, {"neither": 1})

    receipt = collector.api("POST", "import/preview", json={"domain": "coding", "records": batch})

    assert (receipt["accepted"], receipt["rejected"], receipt["formats"]) == (2, 1, {"plain": 1})
    assert collector.stored() == []
    assert feedback(collector) == []


def test_a_format_that_is_named_is_the_only_one_tried(collector: Any) -> None:
    batch = records({"prompt": "p", "response": "r"})

    receipt = collector.api(
        "POST", "import/preview", json={"domain": "coding", "format": "sharegpt", "records": batch}
    )

    assert receipt["reasons"] == {"not of the format sharegpt": 1}


def test_a_body_that_is_too_large_is_refused_before_it_is_read(collector: Any) -> None:
    def endless() -> Any:
        for _ in range(MOST_BYTES // 2**20 + 2):
            yield b" " * 2**20

    reply = httpx2.post(f"{collector.url}/forge/v1/import", content=endless(), headers=KEY, timeout=60)

    assert (reply.status_code, reply.json()["code"]) == (413, "request_too_large")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("open-webui.json", Counter({"import": 4})),
        ("sharegpt.json", Counter({"import": 4})),
        ("langfuse-traces.json", Counter({"import": 2})),
        ("helicone.jsonl", Counter({"import": 2})),
        ("openai-chat.jsonl", Counter({"import": 3})),
        ("forge/data/raw/2026-02-24.jsonl", Counter({"proxy": 3, "compare": 1, "mined": 2})),
        ("forge/data/raw/2026-02-25-gt.jsonl", Counter({"ground_truth": 1, "mined": 2})),
        ("forge/data/traces/2026-02-24-self-iterate.jsonl", Counter({"practice": 2})),
    ],
)
def test_exports_become_rows(collector: Any, name: str, expected: Counter[str]) -> None:
    text = (EXPORTS / name).read_text()
    found = json.loads(text) if name.endswith(".json") else [json.loads(line) for line in text.splitlines()]
    import_id = new_id()
    begin(collector, import_id)

    send(collector, import_id, 0, records(*found))

    assert Counter(exchange["origin"] for exchange in collector.stored()) == expected


def test_kill_9_of_the_collector_in_the_middle_of_an_import_loses_and_doubles_nothing(
    own_collector: Any,
) -> None:
    import_id = new_id()
    prompts = [f"question {n}" for n in range(3000)]
    killer = threading.Thread(target=kill_again_and_again, args=(own_collector, import_id))
    killer.start()

    state = begin(own_collector, import_id)
    while state["position"] < len(prompts):
        part = prompts[state["position"] : state["position"] + 20]
        batch = records(*({"prompt": p, "response": "r"} for p in part), first=state["position"] + 1)
        try:
            state = send(own_collector, import_id, state["position"], batch)
        except (httpx2.TransportError, AssertionError):
            time.sleep(0.05)
    killer.join(180)

    assert (state["accepted"], state["known"], state["rejected"]) == (3000, 0, 0)
    assert Counter(e["messages"][0]["content"] for e in own_collector.stored()) == Counter(prompts)


def kill_again_and_again(collector: Any, import_id: str) -> None:
    for position in (400, 1200, 2200):
        deadline = time.monotonic() + 60
        while stored_position(collector, import_id) < position and time.monotonic() < deadline:
            time.sleep(0.01)
        collector.kill(signal.SIGKILL)
        collector.start()


def stored_position(collector: Any, import_id: str) -> int:
    with collector.connect() as connection:
        row = connection.execute(
            "select position from collector.imports where id = %s", (import_id,)
        ).fetchone()
    return int(row[0]) if row else 0
