"""Which exchanges are answered again, by whom, and what is asked."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_collector.shadow import (
    LONGEST_PAUSE_S,
    Answerer,
    offered_tools,
    pair_id,
    pause_s,
    plan,
    question_sampling,
)
from forge_common.contracts.exchange import Exchange

GATEWAY = "http://127.0.0.1:18793"


def exchange(**more: Any) -> Exchange:
    fields = {
        "id": "ex_1",
        "captured_at": datetime(2026, 11, 22, tzinfo=UTC),
        "domain": "coding",
        "conversation_id": "conv_1",
        "upstream": "https://api.openai.com:443",
        "messages": [{"role": "user", "content": "what is a fjord?"}],
        "answer": {"role": "assistant", "content": "water"},
    }
    return Exchange.model_validate(fields | more)


def planned(has_teacher: bool = True, **more: Any) -> Any:
    return plan(exchange(**more), own=frozenset({GATEWAY}), has_teacher=has_teacher)


def test_a_cloud_models_answer_is_given_again_by_the_local_model():
    made = planned()

    assert (made.answerer, made.skipped) == (Answerer.LOCAL, None)


@pytest.mark.parametrize("more", [{"origin": "gateway"}, {"dialect": "ollama"}, {"upstream": GATEWAY}])
def test_a_local_models_answer_is_given_again_by_the_teacher(more):
    assert planned(**more).answerer is Answerer.TEACHER
    assert planned(has_teacher=False, **more).skipped == "no_teacher"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"origin": "compare", "pair_of": "ex_0"}, "not_live"),
        ({"pair_of": "ex_0"}, "not_live"),
        ({"origin": "import"}, "not_live"),
        ({"status": 500}, "incomplete"),
        ({"complete": False}, "incomplete"),
        ({"answer": {"role": "assistant", "content": "  "}}, "empty_answer"),
        ({"messages": [{"role": "assistant", "content": "It is"}]}, "prefilled"),
        ({"sampling": {"previous_response_id": "resp_1"}}, "partial_prompt"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "not_text"),
    ],
)
def test_what_cannot_be_compared_is_skipped_with_its_reason(more, reason):
    assert planned(**more).skipped == reason


def test_parts_of_text_and_answers_of_calls_alone_are_fine():
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}

    assert planned(messages=[{"role": "user", "content": [{"type": "text", "text": "a"}]}]).skipped is None
    assert planned(answer={"role": "assistant", "tool_calls": [call]}).skipped is None


def test_a_prompts_tokens_are_the_upstreams_own_or_rather_too_many():
    long = [{"role": "user", "content": "word " * 1000}]

    assert planned(usage={"prompt_tokens": 12}).prompt_tokens == 12
    assert 1250 <= planned(messages=long).prompt_tokens <= 2500


def test_tools_are_offered_in_one_shape_whatever_dialect_they_came_in():
    schema = {"type": "object", "properties": {}}
    function = {"name": "look", "parameters": schema, "description": "d"}
    tools = [
        {"type": "function", "function": function},
        {"name": "look", "input_schema": schema, "description": "d"},
        {"type": "function", "name": "look", "parameters": schema, "description": "d", "strict": True},
        {"type": "web_search_20250305", "name": "web_search"},
        {"type": "code_interpreter"},
    ]

    assert offered_tools(tools) == [{"type": "function", "function": function}] * 3


def test_of_the_sampling_only_what_belongs_to_the_question_is_repeated():
    sampling = {
        "temperature": 0,
        "max_tokens": 5,
        "n": 3,
        "stop": ["."],
        "response_format": {"type": "json_object"},
    }

    assert question_sampling(exchange(sampling=sampling)) == {
        "stop": ["."],
        "response_format": {"type": "json_object"},
    }


def test_a_pair_has_one_id_and_sorts_behind_its_original():
    assert pair_id("ex_1") == pair_id("ex_1")
    assert "ex_1" < pair_id("ex_1") < "ex_2"


@given(st.integers(min_value=1, max_value=10**6), st.floats(min_value=0, max_value=0.999))
def test_a_pause_grows_to_a_limit_and_is_never_shorter_than_was_asked_for(failures, chance):
    pause = pause_s(failures, chance=chance)

    assert 4 <= pause <= LONGEST_PAUSE_S * 1.2
    assert pause_s(failures + 2, chance=chance) >= pause
    assert pause_s(failures, retry_after_s=7200, chance=chance) == 7200
