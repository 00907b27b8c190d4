"""A comparison, over a real collector process, between two servers that stream."""

import asyncio
import json
import time
from typing import Any

import httpx2
import pytest

from forge_collector.compare import Question, compare
from forge_collector.completion import ChatModel
from forge_common.contracts.compare import Side
from forge_common.contracts.exchange import Message

pytestmark = pytest.mark.integration

KEY = {"x-forge-key": "forge-key-for-tests"}


def events(collector: Any, headers: Any = KEY, **request: Any) -> list[dict[str, Any]]:
    reply = httpx2.post(f"{collector.url}/forge/v1/compare", json=request, headers=headers, timeout=60)
    assert reply.status_code == 200, reply.text
    return [json.loads(line[6:]) for line in reply.text.splitlines() if line.startswith("data: ")]


def text(said: list[dict[str, Any]], side: str) -> str:
    return "".join(event.get("text", "") for event in said if event.get("side") == side)


def test_both_models_stream_and_the_pair_is_stored(comparer: Any, gateway: Any, cloud: Any) -> None:
    said = events(comparer, prompt="what is a fjord?")
    comparer.drain()

    assert text(said, "left") == "grand-teacher says: what is a fjord?"
    assert text(said, "right") == "engie-coder:v3 says: what is a fjord?"
    left, right = comparer.stored()
    assert said[-1]["pair"] == {"left": left["id"], "right": right["id"]}
    assert (left["origin"], right["origin"], right["pair_of"]) == ("compare", "compare", left["id"])
    assert "pair_of" not in left
    assert left["conversation_id"] == right["conversation_id"]
    assert (left["model_asked"], right["model_asked"]) == ("grand-teacher-latest", "engie-coder:latest")
    assert right["model_served"] == "engie-coder:v3"
    assert right["usage"]["completion_tokens"] == 6
    assert right["total_s"] >= right["first_byte_s"] > 0
    answer = next(event["answer"] for event in said if event.get("side") == "right" and "answer" in event)
    assert answer["usage"] == {"prompt_tokens": 10, "completion_tokens": 6}
    assert cloud.asked[0].authorization == "Bearer teacher-key-for-tests"
    assert gateway.asked[0].authorization == "Bearer forge-key-for-tests"


def test_they_answer_at_the_same_time(comparer: Any, gateway: Any, cloud: Any) -> None:
    gateway.pause_s = cloud.pause_s = 0.4

    said = events(comparer, prompt="one two three four five")

    sides = [event["side"] for event in said if "text" in event]
    assert sides.count("left") == sides.count("right") == 7
    assert set(sides[:4]) == {"left", "right"}
    assert abs(gateway.asked[0].at - cloud.asked[0].at) < 1.5  # one answer takes three seconds


def test_one_that_fails_does_not_silence_the_other_and_nothing_is_stored(comparer: Any, gateway: Any) -> None:
    gateway.refusals = [(503, "the engine is asleep")]

    said = events(comparer, prompt="are you there?")
    comparer.drain()

    error = next(event["error"] for event in said if "error" in event)
    assert "the engine is asleep" in error["message"]
    assert text(said, "left") == "grand-teacher says: are you there?"
    assert said[-1]["unsaved"] == "a pair needs two whole answers"
    assert comparer.stored() == []


def test_an_answer_that_breaks_off_is_no_answer(comparer: Any, cloud: Any) -> None:
    cloud.dies = True

    said = events(comparer, prompt="tell me all of it")
    comparer.drain()

    assert next(event["error"] for event in said if "error" in event)["code"] == "answer_broke_off"
    assert comparer.stored() == []


def test_whoever_leaves_stops_both_models_and_nothing_is_stored(
    comparer: Any, gateway: Any, cloud: Any
) -> None:
    gateway.hangs = cloud.hangs = True
    with httpx2.stream(
        "POST", f"{comparer.url}/forge/v1/compare", json={"prompt": "a b c d"}, headers=KEY, timeout=60
    ):
        assert gateway.hanging.wait(120)
        assert cloud.hanging.wait(120)

    assert gateway.gone.wait(30)
    assert cloud.gone.wait(30)
    comparer.drain()
    assert comparer.stored() == []


def test_whoever_leaves_once_both_have_answered_finds_the_pair_kept(gateway: Any, cloud: Any) -> None:
    asked = Question((Message(role="user", content="short"),), "coding", 100, 30.0)
    models = {Side.LEFT: ChatModel(f"{cloud.url}/v1", "t"), Side.RIGHT: ChatModel(f"{gateway.url}/v1", "m")}
    kept: list[Any] = []

    async def leave_after(wanted: int) -> None:
        """As a terminal that dies before it hears of the pair."""
        answers, heard = 0, compare(asked, models, lambda left, right: kept.append((left.id, right.pair_of)))
        async for event in heard:
            answers += event.answer is not None
            if answers == wanted:
                await heard.aclose()
                break
        # What stores goes on beside us; where only one answered it has nothing to store.
        until = time.monotonic() + (0.5 if wanted == 1 else 30)
        while not kept and time.monotonic() < until:  # noqa: ASYNC110  nobody tells of it
            await asyncio.sleep(0.02)

    gateway.hangs = True
    asyncio.run(leave_after(1))
    assert kept == []
    gateway.hangs = False
    asyncio.run(leave_after(2))
    assert len(kept) == 1
    assert kept[0][0] == kept[0][1]


def test_the_pick_is_feedback_and_pairs_show_it(comparer: Any) -> None:
    pair = events(comparer, prompt="which is better?")[-1]["pair"]

    comparer.api("POST", f"pairs/{pair['right']}/pick", json={"better": "right"})
    found = comparer.api("GET", "pairs?domain=coding")

    assert [(p["id"], p["left"], p["better"]) for p in found["pairs"]] == [
        (pair["right"], pair["left"], "right")
    ]
    assert found["pairs"][0]["prompt"] == "which is better?"
    assert found["tallies"] == [{"models": ["engie-coder:v3", "grand-teacher"], "pairs": 1, "better": [1, 0]}]
    with comparer.connect() as connection:
        thumbs = dict(connection.execute("select exchange_id, thumb from collector.feedback").fetchall())
    assert thumbs == {pair["left"]: -1, pair["right"]: 1}


def test_a_later_pick_counts_and_one_of_no_pair_is_refused(comparer: Any) -> None:
    pair = events(comparer, prompt="again")[-1]["pair"]

    for better in ("right", "left"):
        comparer.api("POST", f"pairs/{pair['right']}/pick", json={"better": better})
    refused = httpx2.post(
        f"{comparer.url}/forge/v1/pairs/{pair['left']}/pick", json={"better": "left"}, headers=KEY
    )

    assert comparer.api("GET", "pairs")["pairs"][0]["better"] == "left"
    assert (refused.status_code, refused.json()["code"]) == (404, "pair_unknown")


def test_two_local_models_need_no_teacher(comparer: Any, gateway: Any, cloud: Any) -> None:
    said = events(comparer, prompt="hello", models=["engie-coder:v2", "engie-coder:v3"])

    assert sorted(asked.body["model"] for asked in gateway.asked) == ["engie-coder:v2", "engie-coder:v3"]
    assert cloud.asked == []
    assert "pair" in said[-1]


def test_the_configured_key_is_not_sent_to_a_teacher_that_was_named(comparer: Any, gateway: Any) -> None:
    elsewhere = {"url": f"{gateway.url}/v1", "model": "somebody-else"}

    events(comparer, prompt="hello", teacher=elsewhere)
    events(comparer, {**KEY, "x-forge-teacher-key": "its-own"}, prompt="hello", teacher=elsewhere)

    sent = [asked.authorization for asked in gateway.asked if asked.body["model"] == "somebody-else"]
    assert sent == [None, "Bearer its-own"]


def test_no_key_is_kept_anywhere(comparer: Any, cloud: Any) -> None:
    cloud.refusals = [(401, "the key teacher-key-for-tests is not known")]

    failed = events(comparer, prompt="hello")
    events(comparer, prompt="hello again")
    comparer.drain()

    kept = (
        b"".join(path.read_bytes() for path in comparer.log.parent.rglob("*") if path.is_file())
        + json.dumps([failed, comparer.stored()]).encode()
    )
    assert b"hello again" in kept
    assert b"teacher-key-for-tests" not in kept


def test_what_was_asked_is_stored_redacted(comparer: Any, gateway: Any) -> None:
    events(comparer, prompt="write to ann@mail.org")
    comparer.drain()

    assert gateway.asked[0].body["messages"][0]["content"] == "write to ann@mail.org"
    assert "ann@mail.org" not in json.dumps(comparer.stored())


@pytest.mark.parametrize(
    ("request_", "status", "said"),
    [
        ({}, 422, "either `prompt` or `messages`"),
        ({"prompt": "  "}, 422, "empty"),
        ({"prompt": "x", "teacher": {"url": "https://u:p@host/v1", "model": "m"}}, 422, "not a plain"),
        ({"prompt": "x", "models": ["a", "b", "c"]}, 422, "models"),
    ],
)
def test_a_comparison_that_cannot_be_made_is_refused(
    comparer: Any, request_: Any, status: int, said: str
) -> None:
    reply = httpx2.post(f"{comparer.url}/forge/v1/compare", json=request_, headers=KEY, timeout=30)

    assert reply.status_code == status, reply.text
    assert said in reply.text
    assert "u:p" not in reply.text
