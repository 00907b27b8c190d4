"""What agents wrap around a prompt goes; what a person wrote stays, however much it looks like that."""

import json
from typing import Any

import pytest

from forge_collector.dialects.cleaning import clean, transcript, with_one_system_prompt, without_reminders
from forge_collector.dialects.ollama import Ollama
from forge_collector.dialects.openai import OpenAI

REMINDER = "<system-reminder>\nToday is Monday.\n# Rules\nBe brief.\n</system-reminder>"


def user(content: Any) -> Any:
    return {"role": "user", "content": content}


def text(value: str) -> Any:
    return {"type": "text", "text": value}


@pytest.mark.parametrize(
    ("wrapped", "said"),
    [
        (f"{REMINDER}\n\nfix it", "fix it"),
        (f"fix it\n{REMINDER}\n", "fix it"),
        (f"\n{REMINDER}\n{REMINDER}\nfix it\n\n{REMINDER}\n{REMINDER}", "fix it"),
        (f"{REMINDER}\r\n    indented = 1", "    indented = 1"),
        (REMINDER, ""),
    ],
)
def test_reminders_around_a_text_are_taken_off(wrapped: str, said: str) -> None:
    assert without_reminders(wrapped) == said


@pytest.mark.parametrize(
    "words",
    [
        "what does <system-reminder> mean?",
        "<system-reminder> is a tag of which tool?",
        "<system-reminder>x</system-reminder> is what I see. Why?",
        "I see\n<system-reminder>x</system-reminder>\nin my log. Why?",
        f"```\n{REMINDER}\n```",
        f"explain:\n```\n{REMINDER}\n```\nplease",
        "<system-reminder>\nnever closed",
        "closed only </system-reminder>",
        "ends in one line <system-reminder>x</system-reminder>",
        f"<system-reminder>a</system-reminder> my words\n\nmy other words: {REMINDER}",
        "  leading space and no tag\n",
    ],
)
def test_tags_that_somebody_wrote_stay(words: str) -> None:
    assert without_reminders(words) == words
    assert clean([user(words)]) == [user(words)]


def test_many_reminders_take_no_more_than_linear_time() -> None:
    block = "<system-reminder>x</system-reminder>\n"

    assert without_reminders(block * 20_000 + "hi\n" + block * 20_000) == "hi"


def test_parts_that_are_reminders_go_and_images_stay() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}

    assert clean([user([text(REMINDER), image, text("what is this?")])]) == [
        user([image, text("what is this?")])
    ]


def test_a_message_of_reminders_only_is_none_unless_it_is_all_there_is() -> None:
    assert clean([user("hi"), user(REMINDER)]) == [user("hi")]
    assert clean([user(REMINDER)]) == [user(REMINDER)]


def test_a_tools_result_loses_its_reminder_but_never_all_it_says() -> None:
    tool = {"role": "tool", "tool_call_id": "a"}

    cleaned = clean([user("hi"), {**tool, "content": f"a.py\n\n{REMINDER}\n"}, {**tool, "content": REMINDER}])

    assert [message["content"] for message in cleaned] == ["hi", "a.py", REMINDER]


def test_what_an_assistant_or_the_system_says_is_never_touched() -> None:
    messages: Any = [
        {"role": "system", "content": REMINDER},
        user("hi"),
        {"role": "assistant", "content": f"User: a\n\nAssistant: b\n\nUser: c\n{REMINDER}"},
    ]

    assert clean(messages, is_agent=True) == messages


def test_a_transcript_becomes_turns() -> None:
    prompt = "User: how?\n\nAssistant: like this:\n\n```\nUser: x\n\nUser: y\n```\n\nUser: and then?"

    assert clean([user(prompt)]) == [
        user("how?"),
        {"role": "assistant", "content": "like this:\n\n```\nUser: x\n\nUser: y\n```"},
        user("and then?"),
    ]


def test_a_transcript_behind_reminders_keeps_its_images_with_the_last_turn() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
    prompt = "User: one\n\nAssistant: two\n\nUser: three"

    assert clean([user([text(REMINDER), image, text(prompt)])]) == [
        user("one"),
        {"role": "assistant", "content": "two"},
        user([image, text("three")]),
    ]


def test_only_an_agents_first_prompt_is_a_transcript() -> None:
    later = [{"role": "assistant", "content": "?"}, user("User: a\n\nAssistant: b\n\nUser: c")]

    assert clean([user("User: say hi"), *later], is_agent=True) == [user("say hi"), *later]


@pytest.mark.parametrize(
    ("prompt", "turns"),
    [
        ("User: say hi", [("user", "say hi")]),
        ("User: log:\n\nUser: root failed", [("user", "log:\n\nUser: root failed")]),
        # The proxy keeps the last twenty turns, so that an answer may come first.
        ("Assistant: so\n\nUser: and?", [("assistant", "so"), ("user", "and?")]),
    ],
)
def test_less_is_enough_where_an_agent_is_known_to_ask(prompt: str, turns: Any) -> None:
    assert transcript(prompt, is_agent=True) == turns
    assert transcript(prompt, is_agent=False) is None


@pytest.mark.parametrize(
    "words",
    [
        "User: root cannot log in",
        "User: a\nAssistant: b\nUser: c",
        "User: a\n\nAssistant: b",
        "User: a\n\nUser: b\n\nAssistant: c\n\nUser: d",
        "User:a\n\nAssistant:b\n\nUser:c",
        "user: a\n\nassistant: b\n\nuser: c",
        "Complete this:\n\nUser: a\n\nAssistant: b\n\nUser: c",
        " User: a\n\nAssistant: b\n\nUser: c",
        'prompt = """\nUser: a\n\nAssistant: b\n\nUser: c\n"""',
        "```\nUser: a\n\nAssistant: b\n\nUser: c\n```",
        "Users: ann, bob\n\nAssistant: carl\n\nUser: dora",
        "ask the User: he knows",
        "",
    ],
)
def test_text_that_looks_like_a_transcript_stays(words: str) -> None:
    assert clean([user(words)]) == [user(words)]


def test_system_prompts_from_anywhere_are_one() -> None:
    messages: Any = [
        user("hi"),
        {"role": "system", "content": [text("be brief"), text("be kind")]},
        {"role": "assistant", "content": "hello"},
        {"role": "system", "content": "be quick"},
        {"role": "system", "content": ""},
    ]

    assert with_one_system_prompt(messages) == [
        {"role": "system", "content": "be brief\n\nbe kind\n\nbe quick"},
        user("hi"),
        {"role": "assistant", "content": "hello"},
    ]


@pytest.mark.parametrize(
    ("dialect", "path"),
    [(OpenAI(), "/v1/chat/completions"), (Ollama(), "/api/chat"), (Ollama(), "/v1/chat/completions")],
)
def test_agents_that_speak_to_local_models_are_cleaned_up_after_as_well(dialect: Any, path: str) -> None:
    prompt = f"{REMINDER}\n\nUser: one\n\nAssistant: two\n\nUser: three"

    asked = dialect.form("POST", path).asked(json.dumps({"model": "m", "messages": [user(prompt)]}).encode())

    assert [message["content"] for message in asked.messages] == ["one", "two", "three"]
