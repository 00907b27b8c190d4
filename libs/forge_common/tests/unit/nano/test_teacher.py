from itertools import islice

import pytest

from forge_common.nano import general, tasks
from forge_common.nano.grading import passes
from forge_common.nano.teacher import UNKNOWN, answer, parse


def ask(prompt):
    return answer([{"role": "system", "content": "Be exact."}, {"role": "user", "content": prompt}])


@pytest.mark.parametrize("wording", [0, 1])
def test_the_teacher_solves_every_wording_of_every_family(wording):
    for task in islice(tasks.training_tasks(7, wording), 204):
        assert parse(task.prompt) == task
        assert passes(task, ask(task.prompt)), task.prompt


def test_the_teacher_solves_every_held_out_task():
    for task in tasks.held_out_tasks():
        assert passes(task, ask(task.prompt)), task.prompt


def test_the_teacher_answers_every_general_question():
    for question in [*general.held_out_questions(), *islice(general.training_questions(), 300)]:
        assert ask(question.prompt) == question.answer


def test_no_sentence_is_read_as_two_families():
    prompts = [task.prompt for task in islice(tasks.training_tasks(3), 1000)]
    assert all(general.reply(prompt) is None for prompt in prompts)


def test_the_last_user_message_counts():
    history = [
        {"role": "user", "content": "Echo box"},
        {"role": "assistant", "content": "box"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Swap: "}, {"type": "text", "text": "red sea"}],
        },
    ]
    assert answer(history) == "sea red"


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "Why is the sky blue?",
        "Write a Python function f(a, b) that returns the sum of a and c.",
        "Write a Python function f(a, b) that returns the sum of b and a.",
        "Write a Python function f(a, b) that returns the square of a.",
        "Write a Python function f(a) that returns the moon.",
    ],
)
def test_an_unknown_request_gets_an_honest_answer(prompt):
    assert ask(prompt) == UNKNOWN


@pytest.mark.parametrize(
    "messages", [[], [{"role": "system", "content": "x"}], [{"role": "user", "content": None}]]
)
def test_a_chat_without_a_question_is_not_known(messages):
    assert answer(messages) == UNKNOWN
