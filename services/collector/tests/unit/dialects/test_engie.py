"""What the Engie proxy says, as an exchange keeps it: the tools that its agent ran stand between prompt and answer."""

import json
from pathlib import Path
from typing import Any

import pytest

from forge_collector.dialects.dialect import Answered, Unreadable
from forge_collector.dialects.engie import Engie

RECORDED = Path(__file__).parents[2] / "recorded" / "engie"
SESSION = "5d0c7c3e-6a55-4f0b-9a52-0f5b6f2a1c11"
TYPES = {".ndjson": "application/x-ndjson", ".sse": "text/event-stream", ".json": "application/json"}


def form(path: str) -> Any:
    found = Engie().form("POST", path)
    assert found is not None
    return found


def read(name: str) -> Answered:
    path = RECORDED / name
    reader = form("/" + name.rpartition("/")[0]).reader(TYPES[path.suffix])
    reader.feed(path.read_bytes())
    answered: Answered = reader.answered()
    return answered


def asked(path: str, **body: Any) -> Any:
    return form(path).asked(json.dumps(body).encode())


def call(name: str, arguments: str, id_: str) -> Any:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_an_agents_lines_become_turns_and_an_answer() -> None:
    answered = read("invoke/stream/tools.ndjson")

    assert answered.turns == [
        {
            "role": "assistant",
            "content": "I look at the folder.",
            "thinking": "Look first.",
            "tool_calls": [call("Bash", '{"command":"ls"}', "toolu_01A")],
        },
        {"role": "tool", "tool_call_id": "toolu_01A", "content": "größe.py"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [call("Task", '{"prompt":"read it"}', "toolu_01B")],
        },
        {"role": "tool", "tool_call_id": "toolu_01B", "content": "It holds one function."},
    ]
    assert answered.message == {"role": "assistant", "content": "One file, one function. 😀"}
    assert (answered.model, answered.finish_reason) == ("claude-sonnet-5", "end_turn")
    assert (answered.conversation, answered.cost_usd, answered.complete) == (SESSION, 0.0213, True)
    assert answered.usage == {"prompt_tokens": 15206, "completion_tokens": 120, "cached_tokens": 14000}


def test_the_stream_is_over_with_its_result() -> None:
    reader = form("/invoke/stream").reader(TYPES[".ndjson"])
    stream = (RECORDED / "invoke/stream/tools.ndjson").read_bytes()
    reader.feed(stream[:-1])
    assert not reader.is_done

    reader.feed(stream[-1:])

    assert reader.is_done


def test_a_failed_job_leaves_a_partial_answer() -> None:
    answered = read("invoke/stream/error.ndjson")

    assert (answered.message["content"], answered.complete) == ("Half an", False)


def test_a_job_that_ran_out_of_turns_did_not_finish() -> None:
    streamed, whole = read("invoke/stream/max_turns.ndjson"), read("invoke/max_turns.json")

    assert (streamed.finish_reason, whole.finish_reason) == ("max_turns", "max_turns")
    assert [turn["role"] for turn in streamed.turns] == ["assistant", "tool"]
    assert streamed.message["content"] is None


def test_a_whole_result_is_read() -> None:
    answered = read("invoke/result.json")

    assert answered.message == {"role": "assistant", "content": "One file, one function. 😀"}
    assert (answered.conversation, answered.cost_usd) == (SESSION, 0.0213)
    assert (answered.model, answered.complete, answered.usage) == ("claude-sonnet-5", True, {})


def test_output_that_the_proxy_could_not_read_is_not_taken_for_whole() -> None:
    assert read("invoke/raw.json").complete is False


def test_a_result_that_is_an_object_is_kept_as_json() -> None:
    reader = form("/invoke").reader("application/json")
    reader.feed(b'{"success":true,"result":{"a":[1]}}')

    assert reader.answered().message["content"] == '{"a":[1]}'


@pytest.mark.parametrize("body", [b"", b"{}", b'{"error":"no"}', b"[]"])
def test_what_is_no_result_is_unreadable(body: bytes) -> None:
    reader = form("/invoke").reader("application/json")
    reader.feed(body)

    with pytest.raises(Unreadable):
        reader.answered()


@pytest.mark.parametrize("path", ["/invoke", "/invoke/stream"])
def test_a_prompt_has_its_system_prompt_and_nothing_of_the_callers_machine(path: str) -> None:
    request = asked(
        path, prompt="fix it", systemPrompt="be brief", model="sonnet", maxTurns=3, workingDir="/home/ann/x",
        addDirs=["/home/ann"], allowedTools=["Read"], resumeSession=SESSION,
    )  # fmt: skip

    assert request.messages == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "fix it"},
    ]
    assert request.sampling == {"allowedTools": ["Read"], "maxTurns": 3}
    assert (request.model, request.conversation) == ("sonnet", SESSION)


def test_a_prompt_that_is_a_transcript_becomes_turns() -> None:
    request = asked("/invoke", prompt="User: a?\n\nAssistant: b\n\nUser: c?")

    assert [m["content"] for m in request.messages] == ["a?", "b", "c?"]


@pytest.mark.parametrize("body", [{}, {"prompt": ""}, {"prompt": ["x"]}])
def test_a_request_without_a_prompt_is_unreadable(body: Any) -> None:
    with pytest.raises(Unreadable):
        asked("/invoke", **body)


@pytest.mark.parametrize(
    ("system", "fields", "conversation", "prompt"),
    [
        ("be brief", {"_sessionKey": "telegram:7"}, "telegram:7", "be brief"),
        ("sessionKey: abc-1\nbe brief", {"_sessionKey": "other"}, "abc-1", "be brief"),
        ("be brief (sessionKey: abc-2 )", {}, "abc-2", "be brief (sessionKey: abc-2 )"),
        ("be brief", {"_sessionKey": "default"}, None, "be brief"),
        ("be brief", {"_sessionKey": "x" * 129}, None, "be brief"),
        ("be brief", {"_sessionKey": {"a": 1}}, None, "be brief"),
        ("be brief", {}, None, "be brief"),
    ],
)
def test_a_chat_names_its_conversation_in_the_body_or_the_system_prompt(
    system: str, fields: Any, conversation: str | None, prompt: str
) -> None:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": "hi"}]

    request = asked("/v1/chat/completions", messages=messages, temperature=0.5, **fields)

    assert request.conversation == conversation
    assert request.messages == [{"role": "system", "content": prompt}, {"role": "user", "content": "hi"}]
    assert request.sampling == {"temperature": 0.5}


@pytest.mark.parametrize("name", ["v1/chat/completions/text.json", "v1/chat/completions/text.sse"])
def test_a_chats_answer_is_read_and_its_zero_tokens_are_unknown(name: str) -> None:
    answered = read(name)

    assert answered.message == {"role": "assistant", "content": "Hello! 😀"}
    assert (answered.finish_reason, answered.complete, answered.usage) == ("stop", True, {})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/status"),
        ("POST", "/cancel"),
        ("GET", "/v1/sessions"),
        ("GET", "/health"),
        ("GET", "/invoke"),
    ],
)
def test_other_paths_are_no_exchanges(method: str, path: str) -> None:
    assert Engie().form(method, path) is None
