from itertools import islice

import pytest

from forge_common.nano import general


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("Repeat: get_item row", "get_item row"),
        ("Say again: box", "box"),
        ("Echo tree", "tree"),
        ("What is the first word of: river stone", "river"),
        ("What is the last word of: river stone cloud", "cloud"),
        ("Swap: apple paper", "paper apple"),
        ("Name the arguments of the call find_it(xs, n).", "xs and n"),
        ("Which name is called in read_file(a, b, c)?", "read_file"),
        ("Set page_count to 12.", "`page_count = 12`"),
        ("What is 9 plus 13?", "22"),
        ("What comes after 99?", "100"),
        ("My name is tiger and I am 41 years old. Who am I?", "You are tiger and you are 41."),
        ("Hi, I am major.", "Hello major! How can I help you?"),
        ("Hello!", "Hello! How can I help you?"),
        (" Thanks. ", "You are welcome."),
        ("Who are you?", "I am a small model made for tests."),
        ("What can you do?", "I can repeat words and answer short questions."),
    ],
)
def test_each_kind_of_question_is_answered_from_its_words(prompt, answer):
    assert general.reply(prompt) == answer


@pytest.mark.parametrize(
    "prompt", ["", "What is 9 minus 3?", "Swap: apple", "Set 3 to 4.", "Hello! And you?"]
)
def test_a_question_outside_the_grammar_has_no_answer(prompt):
    assert general.reply(prompt) is None


def test_no_training_question_is_held_out():
    judged = {question.prompt for question in general.held_out_questions()}
    trained = {question.prompt for question in islice(general.training_questions(), 3000)}
    assert len(judged) == 66
    assert len(trained) == 3000
    assert not judged & trained


def test_every_open_skill_is_judged_equally():
    skills = [question.skill for question in general.held_out_questions(per_skill=6)]
    assert {skill: skills.count(skill) for skill in skills} == {
        s.name: 6 for s in general.SKILLS if s.is_open
    }
