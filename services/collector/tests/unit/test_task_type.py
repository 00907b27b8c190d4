"""Coding, reasoning, tools or chat: what speaks for itself, how often words are right, and that it is cheap.

The labelled prompts were written for this test: those marked `tuned` were looked at while the words were chosen, those
marked `held_out` were not. `pytest -k accuracy` prints the table.
"""

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_collector.task_type import TaskType, classify, labelled
from forge_common.contracts.base import ExchangeId, utc_now
from forge_common.contracts.exchange import Exchange, Message
from forge_common.nano import teacher
from forge_common.nano.traffic import coding_requests

LABELLED = Path(__file__).parent.parent / "labelled" / "task_types.jsonl"
CALL = ({"id": "call_1", "type": "function", "function": {"name": "read_file", "arguments": "{}"}},)


def exchange(prompt: str = "hi", answer: str | None = "hello", **fields: Any) -> Exchange:
    values: dict[str, Any] = {
        "id": ExchangeId("ex_1"),
        "captured_at": utc_now(),
        "domain": "coding",
        "conversation_id": "conv_1",
        "messages": (Message(role="user", content=prompt),),
        "answer": Message(role="assistant", content=answer, tool_calls=fields.pop("tool_calls", None)),
    }
    return Exchange(**(values | fields))


def test_an_answer_that_calls_a_tool_is_tools_whatever_it_speaks_of() -> None:
    assert (
        classify(exchange("fix the bug in main.py", "```python\npass\n```", tool_calls=CALL))
        is TaskType.TOOLS
    )


def test_an_answer_made_from_the_results_of_tools_is_tools() -> None:
    used = (
        Message(role="user", content="what does main.py do?"),
        Message(role="assistant", tool_calls=CALL),
        Message(role="tool", content="print(1)", tool_call_id="call_1"),
    )

    assert classify(exchange(messages=used)) is TaskType.TOOLS


def test_tools_used_for_an_earlier_question_do_not_count() -> None:
    earlier = (
        Message(role="user", content="what does main.py do?"),
        Message(role="assistant", tool_calls=CALL),
        Message(role="tool", content="print(1)", tool_call_id="call_1"),
        Message(role="assistant", content="It prints 1."),
        Message(role="user", content="thanks"),
    )

    assert classify(exchange(messages=earlier)) is TaskType.CHAT


def test_tools_that_were_offered_and_not_used_do_not_count() -> None:
    assert classify(exchange("good morning", tools=({"type": "function"},))) is TaskType.CHAT


def test_results_in_the_parts_of_a_users_message_are_results_of_tools() -> None:
    result = Message(role="user", content=({"type": "tool_result", "content": "print(1)"},))
    asked = (Message(role="user", content="go on"), Message(role="assistant", tool_calls=CALL), result)

    assert classify(exchange(messages=asked)) is TaskType.TOOLS


@pytest.mark.parametrize("answer", ['<tool_call>{"name": "ls"}</tool_call>', '[TOOL_CALLS][{"name": "ls"}]'])
def test_a_call_that_a_local_model_wrote_as_text_is_a_call(answer: str) -> None:
    assert classify(exchange("list the files", answer)) is TaskType.TOOLS


@pytest.mark.parametrize(
    "answer",
    [
        "```python\nprint(1)\n```",
        "diff --git a/x b/x\n@@ -1 +1 @@\n-a\n+b",
        'Traceback (most recent call last):\n  File "a.py", line 1',
    ],
)
def test_programs_diffs_and_stack_traces_are_coding_in_any_language(answer: str) -> None:
    assert classify(exchange("помоги мне", f"Вот:\n\n{answer}")) is TaskType.CODING


def test_a_fence_with_prose_in_it_is_no_program() -> None:
    assert classify(exchange("a birthday wish please", "```text\nHappy birthday!\n```")) is TaskType.CHAT


def test_the_demos_coding_requests_are_coding() -> None:
    found = Counter(
        classify(exchange(prompt, teacher.answer([{"role": "user", "content": prompt}])))
        for prompt in coding_requests(200)
    )

    assert found == {TaskType.CODING: 200}


def test_accuracy_on_prompts_that_nobody_tuned_for(capsys: pytest.CaptureFixture[str]) -> None:
    right: dict[str, Counter[str]] = {"tuned": Counter(), "held_out": Counter()}
    total: dict[str, Counter[str]] = {"tuned": Counter(), "held_out": Counter()}
    for line in LABELLED.read_text().splitlines():
        row = json.loads(line)
        is_right = classify(exchange(row["prompt"], row["answer"])) == row["task_type"]
        right[row["set"]][row["task_type"]] += is_right
        total[row["set"]][row["task_type"]] += 1

    with capsys.disabled():
        for name, counts in total.items():
            each = "  ".join(f"{kind} {right[name][kind]}/{n}" for kind, n in sorted(counts.items()))
            sys.stdout.write(f"\ntask types, {name:8} {right[name].total()}/{counts.total()}  {each}")
    assert right["held_out"].total() / total["held_out"].total() >= 0.85


def test_a_type_that_is_given_stays() -> None:
    given_type = exchange("Write a Python function", task_type="reasoning")

    assert labelled(given_type, "{}") == ("reasoning", "{}")


def test_the_record_says_the_type_and_is_otherwise_as_it_was() -> None:
    plain = exchange("Write a Python function that adds.")
    document = plain.model_dump_json(exclude={"task_type"})

    task_type, record = labelled(plain, document)

    assert task_type == "coding"
    assert Exchange.model_validate_json(record) == plain.model_copy(update={"task_type": "coding"})


@given(
    st.text(),
    st.none() | st.text(),
    st.lists(
        st.dictionaries(st.text(), st.none() | st.text() | st.integers() | st.lists(st.text())), max_size=3
    ),
)
def test_nothing_that_was_ever_captured_can_stop_it(
    prompt: str, answer: str | None, parts: list[dict[str, Any]]
) -> None:
    messages = (Message(role="user", content=tuple(parts)), Message(role="user", content=prompt))

    assert classify(exchange(answer=answer, messages=messages)) in TaskType
    assert classify(exchange(answer=answer, messages=messages[:1], tool_calls=tuple(parts))) in TaskType


def test_a_long_text_takes_no_longer_than_a_page() -> None:
    def cost(size: int) -> float:
        long = exchange("why 1 ` " * size, "because ` 1 " * size)
        best = float("inf")
        for _ in range(20):
            begin = time.process_time()
            for _ in range(20):
                classify(long)
            best = min(best, time.process_time() - begin)
        return best

    assert cost(500_000) < 5 * cost(500)
