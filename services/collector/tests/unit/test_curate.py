"""Which exchanges become rows, for which reason the others do not, and on which side of the split they land."""

from typing import Any

import pytest

from forge_collector.benchmark_overlap import Benchmark
from forge_collector.curate import Candidate, Curated, curate
from forge_common.contracts.base import ExchangeId, utc_now
from forge_common.contracts.domain import DataRules
from forge_common.contracts.exchange import Exchange, Message

RULES = DataRules(min_prompt_length=3, min_response_length=3, max_response_length=500)


def candidate(
    number: int = 0,
    prompt: str | None = None,
    answer: str | None = None,
    *,
    thumb: int | None = None,
    corrected: str | None = None,
    **fields: Any,
) -> Candidate:
    messages = fields.pop("messages", None) or (Message(role="user", content=prompt or f"question {number}"),)
    values: dict[str, Any] = {
        "id": ExchangeId(f"ex_{number:04}"),
        "captured_at": utc_now(),
        "domain": "coding",
        "conversation_id": f"conv_{number}",
        "messages": messages,
        "answer": Message(role="assistant", content=f"answer {number}" if answer is None else answer),
        "finish_reason": "stop",
    }
    return Candidate(Exchange(**(values | fields)), thumb, corrected)


def reasons(result: Curated) -> dict[str, int]:
    return {count.reason: count.rows for count in result.dropped}


def kept(result: Curated) -> list[str]:
    return sorted(row.source for row in (*result.train, *result.valid))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (candidate(1, status=500), "status"),
        (candidate(1, complete=False), "incomplete"),
        (candidate(1, finish_reason="length"), "finish_reason"),
        (candidate(1, finish_reason="content_filter"), "finish_reason"),
        (candidate(1, thumb=-1), "thumb_down"),
        (candidate(1, prompt="   "), "empty_prompt"),
        (candidate(1, answer=" \n"), "empty_answer"),
        (candidate(1, prompt="hi"), "prompt_too_short"),
        (candidate(1, answer="no"), "answer_too_short"),
        (candidate(1, answer="x" * 501), "answer_too_long"),
        (candidate(1, answer="I'm sorry, but I can't help with that."), "refusal"),
        (candidate(1, answer="Sorry. I cannot assist with this request."), "refusal"),
        (candidate(1, messages=(Message(role="user", content="q q"), Message(role="assistant", content="a"))), "prefilled"),
        (candidate(1, sampling={"previous_response_id": "resp_1"}), "history_unknown"),
    ],
)  # fmt: skip
def test_each_filter_names_its_reason(bad: Candidate, reason: str) -> None:
    result = curate([candidate(0), bad, candidate(2)], RULES)

    assert reasons(result) == {reason: 1}
    assert kept(result) == ["ex_0000", "ex_0002"]
    assert result.seen == 3


def test_an_answer_that_speaks_of_refusals_later_is_kept() -> None:
    answer = "Here is the policy text you asked for. " * 6 + "I cannot help with that, says the bot."

    assert reasons(curate([candidate(1, answer=answer)], RULES)) == {}


def test_code_blocks_are_required_where_the_domain_says_so() -> None:
    rules = RULES.model_copy(update={"require_code_blocks": True})
    code = "Sure:\n```python\nprint(1)\n```\n"

    result = curate([candidate(0, answer=code), candidate(1, answer="just prose")], rules)

    assert reasons(result) == {"no_code_block": 1}


def test_an_answer_by_tool_calls_needs_no_text() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    answer = Message(role="assistant", content=None, tool_calls=(call,))

    assert reasons(curate([candidate(0, answer="", finish_reason="tool_calls"),
                           Candidate(candidate(1).exchange.model_copy(update={"answer": answer}))], RULES)) == {"empty_answer": 1}  # fmt: skip


def test_the_first_of_equal_prompts_stays_whatever_case_and_white_space() -> None:
    result = curate(
        [
            candidate(0, "Add two numbers", "a + b"),
            candidate(1, "  add TWO\nnumbers ", "A + B"),
            candidate(2, "Add two numbers", "something else"),
        ],
        RULES,
    )

    assert reasons(result) == {"duplicate": 1, "duplicate_prompt": 1}
    assert kept(result) == ["ex_0000"]


def test_duplicates_stay_where_the_domain_wants_them() -> None:
    rules = RULES.model_copy(update={"dedup_by_hash": False})

    assert reasons(curate([candidate(0, "same", "one"), candidate(1, "same", "two")], rules)) == {}


def test_a_corrected_answer_is_trained_on_instead() -> None:
    result = curate([candidate(0, thumb=-1, corrected="the right answer")], RULES)

    (row,) = (*result.train, *result.valid)
    assert row.messages[-1].content == "the right answer"


def test_of_a_conversation_only_the_last_turn_stays() -> None:
    first = (Message(role="system", content="s"), Message(role="user", content="one please"))
    second = (
        *first,
        Message(role="assistant", content="first answer"),
        Message(role="user", content="two please"),
    )

    result = curate(
        [
            candidate(0, messages=first, answer="first answer", conversation_id="c"),
            candidate(1, messages=second, answer="second answer", conversation_id="c"),
        ],
        RULES,
    )

    assert reasons(result) == {"superseded": 1}
    assert kept(result) == ["ex_0001"]


BENCHMARK = (
    b'{"prompt": "Write a function that returns the sum of all even numbers in a list of integers.",'
    b' "gold_answer": "def even_sum(numbers):\\n    total = 0\\n    for number in numbers:\\n        if number % 2 == 0:\\n'
    b'            total += number\\n    return total"}\n'
    b'{"prompt": "What is 2 plus 2?", "gold_answer": "4"}\n'
)
LEAKED = "def even_sum(numbers):\n    total = 0\n    for number in numbers:\n        if number % 2 == 0:\n            total += number\n    return total"


@pytest.mark.parametrize(
    ("prompt", "answer", "reason"),
    [
        ("what is 2  plus 2?", "It is four", "benchmark_exact"),
        (
            "Please write a function that returns the sum of all even numbers in a list of integers now",
            "ok then",
            "benchmark_near",
        ),
        ("How would you do it in Python?", f"Like this:\n```python\n{LEAKED}\n```", "benchmark_near"),
        (f"Explain this code: {LEAKED}", "It sums even numbers", "benchmark_near"),
    ],
)
def test_the_benchmark_is_kept_out_field_by_field(prompt: str, answer: str, reason: str) -> None:
    benchmark = Benchmark.parse(BENCHMARK)

    result = curate([candidate(0, prompt, answer), candidate(1)], RULES, benchmark=benchmark)

    assert reasons(result) == {reason: 1}


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("Write a function that returns the sum of two numbers", "def add(a, b): return a + b"),
        ("What is 2 plus 3?", "That would be 5"),
        ("Count to four please", "1 2 3 4"),
    ],
)
def test_what_only_resembles_the_benchmark_is_kept(prompt: str, answer: str) -> None:
    result = curate([candidate(0, prompt, answer)], RULES, benchmark=Benchmark.parse(BENCHMARK))

    assert reasons(result) == {}


def test_where_the_same_family_is_allowed_only_equal_prompts_are_kept_out() -> None:
    rules = RULES.model_copy(update={"allow_same_family": True})
    near = "Write a function that returns the sum of all even numbers in a list of floats."
    equal = "Write a function that returns the sum of all even numbers in a list of integers."

    result = curate([candidate(0, near), candidate(1, equal)], rules, benchmark=Benchmark.parse(BENCHMARK))

    assert reasons(result) == {"benchmark_exact": 1}
    assert kept(result) == ["ex_0000"]


def test_no_conversation_is_on_both_sides() -> None:
    result = curate([candidate(i, conversation_id=f"conv_{i // 4}") for i in range(400)], RULES)
    by_id = {f"ex_{i:04}": f"conv_{i // 4}" for i in range(400)}

    train = {by_id[row.source] for row in result.train}
    valid = {by_id[row.source] for row in result.valid}

    assert not train & valid
    assert 0.03 < len(valid) / 100 < 0.2
    assert result.conversations == 100


def test_rows_keep_their_side_when_more_are_captured() -> None:
    few = curate([candidate(i) for i in range(100)], RULES)
    many = curate([candidate(i) for i in range(200)], RULES)

    assert {row.source for row in few.valid} <= {row.source for row in many.valid}
    assert {row.source for row in few.train} <= {row.source for row in many.train}


@pytest.mark.parametrize("n", [2, 3, 5])
def test_neither_side_is_empty_as_soon_as_there_are_two_conversations(n: int) -> None:
    for seed in range(30):
        result = curate([candidate(i) for i in range(n)], RULES, seed=seed)

        assert result.train
        assert result.valid


def test_another_seed_splits_otherwise() -> None:
    everything = [candidate(i) for i in range(200)]

    assert curate(everything, RULES, seed=1).valid != curate(everything, RULES, seed=2).valid


def test_the_rows_are_in_the_order_of_the_candidates() -> None:
    result = curate([candidate(i) for i in range(50)], RULES)

    assert [row.source for row in result.train] == sorted(row.source for row in result.train)
