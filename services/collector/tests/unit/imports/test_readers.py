"""Exports of other systems, handwritten in their documented shapes: what becomes of each record."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from forge_collector.dialects.dialect import Unreadable
from forge_collector.imports import READERS, detect
from forge_collector.imports.record import Imported, Reading, parse
from forge_common.contracts.exchange import Origin
from forge_common.contracts.imports import ImportFormat

EXPORTS = Path(__file__).parents[2] / "exports"
RAW = "forge/data/raw/2026-02-24.jsonl"


def records(name: str) -> list[dict[str, Any]]:
    path = EXPORTS / name
    if path.suffix == ".json":
        return json.loads(path.read_text())
    with path.open(newline="") as file:
        if path.suffix == ".csv":
            return list(csv.DictReader(file))
        return [json.loads(line) for line in file]


def read(name: str, index: int) -> Reading:
    record = parse(json.dumps(records(name)[index]))
    return READERS[detect(record)].read(record)


def said(exchange: Imported) -> list[tuple[str, Any]]:
    return [(m["role"], m.get("content")) for m in [*exchange.messages, exchange.answer]]


@pytest.mark.parametrize(
    ("name", "format_"),
    [
        (RAW, ImportFormat.FORGE),
        ("forge/data/raw/2026-02-25-gt.jsonl", ImportFormat.FORGE),
        ("forge/data/raw/opencode-2026-02-26.jsonl", ImportFormat.FORGE),
        ("forge/data/traces/2026-02-24-tools.jsonl", ImportFormat.FORGE),
        ("forge/data/traces/2026-02-24-agent.jsonl", ImportFormat.FORGE),
        ("forge/data/traces/2026-02-24-self-iterate.jsonl", ImportFormat.FORGE),
        ("forge/data/train.jsonl", ImportFormat.OPENAI),
        ("openai-chat.jsonl", ImportFormat.OPENAI),
        ("openai-preference.jsonl", ImportFormat.OPENAI),
        ("sharegpt.json", ImportFormat.SHAREGPT),
        ("langfuse-traces.json", ImportFormat.LANGFUSE),
        ("langfuse-observations.jsonl", ImportFormat.LANGFUSE),
        ("langfuse-observations.csv", ImportFormat.LANGFUSE),
        ("helicone.jsonl", ImportFormat.HELICONE),
        ("helicone.csv", ImportFormat.HELICONE),
        ("open-webui.json", ImportFormat.OPEN_WEBUI),
        ("plain.jsonl", ImportFormat.PLAIN),
    ],
)
def test_every_record_of_an_export_is_recognised_as_its_system_s(name: str, format_: ImportFormat) -> None:
    assert {detect(record) for record in records(name)} == {format_}


def test_a_raw_pair_is_its_best_teacher_s_answer_and_the_others_to_the_same_prompt() -> None:
    best, other = read(RAW, 0).exchanges

    assert (best.model, best.origin, best.task_type) == ("claude", Origin.PROXY, "coding")
    assert best.captured_at == datetime(2026, 2, 24, 9, 12, 44, 120000, UTC)
    assert best.total_s == 5.12
    assert (other.model, other.pair_of) == ("familiar-coder:latest", best)


def test_the_transcript_around_a_raw_prompt_becomes_turns() -> None:
    (exchange,) = read(RAW, 1).exchanges

    assert said(exchange) == [
        ("user", "What is a monad?"),
        ("assistant", "A design pattern."),
        ("user", "And in plain words?"),
        ("assistant", "A box that knows how the next step gets at what is in it."),
    ]


@pytest.mark.parametrize(("index", "origin"), [(0, Origin.PROXY), (2, Origin.COMPARE), (3, Origin.MINED)])
def test_where_a_raw_pair_came_from_is_kept(index: int, origin: Origin) -> None:
    assert {exchange.origin for exchange in read(RAW, index).exchanges} == {origin}


def test_without_the_first_teacher_the_next_one_answers() -> None:
    assert [exchange.model for exchange in read(RAW, 3).exchanges] == ["gemini", "familiar-brain:latest"]


def test_ground_truth_is_the_real_change_and_models_answered_the_same_prompt() -> None:
    truth, claude, gemini = read("forge/data/raw/2026-02-25-gt.jsonl", 0).exchanges

    assert (truth.origin, truth.model) == (Origin.GROUND_TRUTH, None)
    assert truth.answer["content"].startswith("```diff\n--- a/parser.js")
    assert [(e.model, e.origin, e.pair_of) for e in (claude, gemini)] == [
        ("claude", Origin.MINED, truth),
        ("gemini", Origin.MINED, truth),
    ]


def test_a_tool_trace_is_one_exchange_an_answer_in_one_conversation() -> None:
    first, second = read("forge/data/traces/2026-02-24-tools.jsonl", 0).exchanges

    assert first.answer["tool_calls"][0]["function"]["name"] == "run_command"
    assert first.finish_reason == "tool_calls"
    assert (second.answer["content"], len(second.messages)) == ("It has 42 lines.", 3)
    assert {first.conversation, second.conversation} == {"sess-77"}


def test_a_trace_without_its_prompt_gets_it_behind_the_system_prompt() -> None:
    first, *_ = read("forge/data/traces/2026-02-24-agent.jsonl", 0).exchanges

    assert [m["role"] for m in first.messages] == ["system", "user"]
    assert first.model == "familiar-brain:latest"


def test_practice_is_the_task_and_the_last_attempt() -> None:
    (passed,) = read("forge/data/traces/2026-02-24-self-iterate.jsonl", 0).exchanges
    (failed,) = read("forge/data/traces/2026-02-24-self-iterate.jsonl", 1).exchanges

    assert passed.origin == Origin.PRACTICE
    assert [m["content"] for m in passed.messages] == ["You write code.", "Write two_sum(numbers, target)."]
    assert "seen[x] = i" in passed.answer["content"]
    assert (passed.thumb, failed.thumb) == (None, -1)


def test_a_comparison_of_the_database_is_a_pair() -> None:
    record = {
        "id": 1, "prompt": "p", "claude_response": "a", "claude_duration_ms": 10, "engie_response": "b",
        "session_key": "k", "created_at": "2026-02-27 10:00:00",
    }  # fmt: skip

    left, right = READERS[detect(record)].read(record).exchanges

    assert (left.origin, right.origin, right.pair_of) == (Origin.COMPARE, Origin.COMPARE, left)
    assert (left.conversation, left.captured_at) == ("k", datetime(2026, 2, 27, 10, tzinfo=UTC))


def test_an_answer_of_weight_0_is_context_and_no_exchange() -> None:
    (exchange,) = read("openai-chat.jsonl", 0).exchanges

    assert exchange.answer["content"] == "Paris. As if anybody did not know."
    assert [m.get("weight") for m in exchange.messages] == [None, None, 0, None]


def test_tools_of_a_fine_tuning_file_are_kept() -> None:
    call, answer = read("openai-chat.jsonl", 1).exchanges

    assert call.tools == answer.tools
    assert call.tools[0]["function"]["name"] == "get_weather"
    assert answer.messages[-1] == {"role": "tool", "content": "-3 °C", "tool_call_id": "call_1"}


@pytest.mark.parametrize(("name", "index"), [("openai-preference.jsonl", 0), ("plain.jsonl", 3)])
def test_a_preference_is_a_pair_with_thumbs(name: str, index: int) -> None:
    good, bad = read(name, index).exchanges

    assert (good.thumb, bad.thumb, bad.pair_of) == (1, -1, good)
    assert good.messages == bad.messages


def test_sharegpt_speakers_have_our_names() -> None:
    first, second = read("sharegpt.json", 0).exchanges
    call, answer = read("sharegpt.json", 1).exchanges

    assert said(first) == [
        ("system", "Answer briefly."),
        ("user", "Who wrote Faust?"),
        ("assistant", "Goethe."),
    ]
    assert (second.conversation, second.model) == ("identity_0", "gpt-4")
    assert call.answer["tool_calls"][0]["function"]["name"] == "lookup"
    assert answer.messages[-1]["role"] == "tool"


def test_an_opening_line_answers_nobody() -> None:
    with pytest.raises(Unreadable, match="no answer"):
        read("sharegpt.json", 2)


def test_a_langfuse_trace_is_its_generations() -> None:
    (call,) = read("langfuse-traces.json", 0).exchanges

    assert said(call)[0] == ("system", "You translate.")
    assert (call.model, call.conversation, call.sampling) == ("gpt-4o", "session-9", {"temperature": 0.2})
    assert call.usage == {"prompt_tokens": 14, "completion_tokens": 1, "cached_tokens": 3}
    assert (call.cost_usd, call.first_byte_s, call.total_s) == (0.00012, 0.5, 2.0)


def test_a_langfuse_trace_without_generations_is_what_went_in_and_out() -> None:
    (call,) = read("langfuse-traces.json", 1).exchanges

    assert said(call) == [("user", "Say hi"), ("assistant", "hi")]
    assert call.conversation == "trace-2"


def test_a_langfuse_observation_holds_json_as_text() -> None:
    (call,) = read("langfuse-observations.jsonl", 0).exchanges

    assert said(call) == [("user", "What is 2+2?"), ("assistant", "4")]
    assert call.captured_at == datetime(2024, 5, 29, 13, 46, 19, 963000, UTC)
    assert call.model == "claude-sonnet-4-20250514"


def test_a_langfuse_observation_may_keep_its_tool_calls_apart() -> None:
    (call,) = read("langfuse-observations.jsonl", 2).exchanges

    assert call.answer["tool_calls"][0]["function"] == {"name": "weather", "arguments": "{}"}
    assert call.conversation == "t2"


def test_what_is_no_model_call_is_named() -> None:
    with pytest.raises(Unreadable, match="no model call: RETRIEVER"):
        read("langfuse-observations.jsonl", 1)


def test_csv_cells_are_read_as_what_they_hold() -> None:
    (call,) = read("langfuse-observations.csv", 0).exchanges
    (other,) = read("helicone.csv", 0).exchanges

    assert said(call) == [("user", "Two lines,\nplease"), ("assistant", "one\ntwo")]
    assert call.usage == {"prompt_tokens": 7, "completion_tokens": 3}
    assert (other.conversation, other.usage["prompt_tokens"]) == ("sess-4", 9)


def test_helicone_bodies_are_read_in_their_own_dialect() -> None:
    (openai,) = read("helicone.jsonl", 0).exchanges
    (anthropic,) = read("helicone.jsonl", 1).exchanges

    assert (openai.model, openai.thumb, openai.conversation) == ("gpt-4o-2024-08-06", 1, "sess-3")
    assert (openai.first_byte_s, openai.total_s, openai.sampling) == (0.4, 1.5, {"temperature": 0})
    assert said(anthropic) == [("system", "Be brief."), ("user", "Name a bird."), ("assistant", "Wren.")]
    assert anthropic.usage["completion_tokens"] == 3


@pytest.mark.parametrize(("index", "reason"), [(2, "answered 429"), (3, "--include-body")])
def test_a_helicone_row_without_an_answer_says_why(index: int, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        read("helicone.jsonl", index)


def test_open_webui_is_read_along_the_branch_that_was_open() -> None:
    first, beside, last = read("open-webui.json", 0).exchanges

    assert said(last) == [
        ("system", "Be exact."),
        ("user", "Which is the largest planet?"),
        ("assistant", "Jupiter."),
        ("user", "And the smallest?"),
        ("assistant", "Mercury."),
    ]
    assert first.answer["thinking"] == "They ask about size."
    assert (first.thumb, first.note) == (1, "accurate_information; Right.")
    assert (beside.pair_of, beside.model, beside.thumb) == (first, "qwen3", -1)
    assert {e.conversation for e in (first, beside, last)} == {"chat-1"}


def test_open_webui_s_old_form_has_no_chat_around_it() -> None:
    (exchange,) = read("open-webui.json", 1).exchanges

    assert said(exchange) == [("user", "Hello!"), ("assistant", "Hi there!")]


def test_an_instruction_stands_before_its_input() -> None:
    (exchange,) = read("plain.jsonl", 2).exchanges

    assert said(exchange) == [("user", "Translate to German\n\ndog"), ("assistant", "Hund")]


@pytest.mark.parametrize(
    ("name", "index"),
    [(RAW, 4), (RAW, 5), ("openai-chat.jsonl", 2), ("open-webui.json", 2), ("plain.jsonl", 4)],
)
def test_a_record_without_prompt_or_answer_is_refused(name: str, index: int) -> None:
    with pytest.raises(Unreadable):
        read(name, index)
