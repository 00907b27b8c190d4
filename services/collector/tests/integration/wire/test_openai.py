"""The official SDK through a collector: what it reads is what is in Postgres, field by field."""

import json
from pathlib import Path
from typing import Any

import openai
import pytest

from forge_common.contracts.exchange import Exchange

pytestmark = pytest.mark.integration

RECORDED = Path(__file__).parents[2] / "recorded"
CHAT, COMPLETIONS, RESPONSES = (
    f"openai/v1/{path}" for path in ("chat/completions", "completions", "responses")
)
TOOL: Any = {"type": "function", "function": {"name": "read_file", "parameters": {"type": "object"}}}
USAGE = {"prompt_tokens": 86, "completion_tokens": 31, "cached_tokens": 64}
# What an exchange says of when and where, and what others make of it; the rest is compared.
CIRCUMSTANCES = {
    "id",
    "captured_at",
    "first_byte_s",
    "total_s",
    "conversation_id",
    "schema_version",
    "upstream",
} | {"task_type"}


def sdk(wired: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{wired.url}/v1", api_key="made-up-" + "key", max_retries=0)


def stored(wired: Any) -> list[dict[str, Any]]:
    wired.drain()
    exchanges: list[dict[str, Any]] = wired.stored()
    return exchanges


def the_one(wired: Any) -> dict[str, Any]:
    """The stored exchange, without what is not known and its circumstances."""
    (document,) = stored(wired)
    exchange = Exchange.model_validate_json(json.dumps(document))
    assert 0 < (exchange.first_byte_s or 0) <= (exchange.total_s or 0) < 30
    fields: dict[str, Any] = exchange.model_dump(mode="json", exclude_none=True, exclude=CIRCUMSTANCES)
    return fields


def call(name: str, arguments: str, call_id: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_a_streamed_chat_with_tools(wired: Any, wire: Any) -> None:
    wire.replay(f"{CHAT}/tools.sse")
    messages: Any = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "read both"}]},
    ]

    with sdk(wired).chat.completions.stream(
        model="gpt-4.1",
        messages=messages,
        tools=[TOOL],
        temperature=0.2,
        stream_options={"include_usage": True},
    ) as stream:
        reply = stream.get_final_completion()

    message = reply.choices[0].message
    assert message.tool_calls is not None
    assert the_one(wired) == {
        "domain": "coding",
        "origin": "proxy",
        "dialect": "openai",
        "model_asked": "gpt-4.1",
        "model_served": reply.model,
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "read both"}]},
        ],
        "tools": [TOOL],
        "answer": {
            "role": "assistant",
            "tool_calls": [
                call(each.function.name, each.function.arguments, each.id) for each in message.tool_calls
            ],
        },
        "finish_reason": reply.choices[0].finish_reason,
        "status": 200,
        "complete": True,
        "sampling": {"temperature": 0.2},
        "usage": USAGE,
    }
    assert message.tool_calls[0].function.arguments == '{"path":"naïve.py"}'


def test_a_streamed_chat_with_two_choices(wired: Any, wire: Any) -> None:
    wire.replay(f"{CHAT}/n_2.sse")
    texts: dict[int, str] = {}

    for chunk in sdk(wired).chat.completions.create(
        model="gpt-4.1", messages=[{"role": "user", "content": "toss"}], n=2, stream=True
    ):
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")

    exchange = the_one(wired)
    assert exchange["answer"]["content"] == texts[0] == "Heads."
    assert [answer["content"] for answer in exchange["alternatives"]] == [texts[1]] == ["Tails!"]
    assert (exchange["finish_reason"], exchange["sampling"]) == ("stop", {"n": 2})


def test_a_whole_chat_with_two_choices(wired: Any, wire: Any) -> None:
    wire.replay(f"{CHAT}/whole.json")

    reply = sdk(wired).chat.completions.create(
        model="gpt-4.1", messages=[{"role": "user", "content": "read it"}], n=2
    )

    exchange = the_one(wired)
    assert exchange["answer"]["tool_calls"] == [call("read_file", '{"path":"a.py"}', "call_a")]
    assert exchange["alternatives"] == [{"role": "assistant", "content": reply.choices[1].message.content}]
    assert (exchange["finish_reason"], exchange["usage"]) == ("tool_calls", USAGE)


def test_a_relays_thinking_and_cost(wired: Any, wire: Any) -> None:
    wire.replay(f"{CHAT}/relay.sse")

    chunks = list(
        sdk(wired).chat.completions.create(
            model="deepseek/deepseek-r1", messages=[{"role": "user", "content": "2+2"}], stream=True
        )
    )

    exchange = the_one(wired)
    assert exchange["answer"] == {"role": "assistant", "content": "4", "thinking": "Two and two."}
    assert exchange["cost_usd"] == pytest.approx(chunks[-1].usage.cost)  # type: ignore[union-attr]
    assert exchange["model_served"] == chunks[0].model == "deepseek/deepseek-r1"


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_response_with_reasoning_and_tools(wired: Any, wire: Any, is_stream: bool) -> None:
    wire.replay(f"{RESPONSES}/{'tools.sse' if is_stream else 'tools_whole.json'}")
    asked: Any = {
        "model": "gpt-5",
        "instructions": "be brief",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "read it"}]}],
        "tools": [
            {"type": "function", "name": "read_file", "parameters": {"type": "object"}, "strict": True}
        ],
        "reasoning": {"effort": "low", "summary": "auto"},
    }
    if is_stream:
        with sdk(wired).responses.stream(**asked) as stream:
            reply: Any = stream.get_final_response()
    else:
        reply = sdk(wired).responses.create(**asked)

    reasoning, function, custom = (next(i for i in reply.output if i.type == kind)
                                   for kind in ("reasoning", "function_call", "custom_tool_call"))  # fmt: skip
    assert the_one(wired) == {
        "domain": "coding",
        "origin": "proxy",
        "dialect": "openai",
        "model_asked": "gpt-5",
        "model_served": reply.model,
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "read it"}],
        "tools": [
            {
                "type": "function",
                "function": {"name": "read_file", "parameters": {"type": "object"}, "strict": True},
            }
        ],
        "answer": {
            "role": "assistant",
            "content": reply.output_text,
            "thinking": "\n\n".join(part.text for part in reasoning.summary),
            "tool_calls": [
                call(function.name, function.arguments, function.call_id),
                {
                    "id": custom.call_id,
                    "type": "custom",
                    "custom": {"name": custom.name, "input": custom.input},
                },
            ],
        },
        "finish_reason": "tool_calls",
        "status": 200,
        "complete": True,
        "sampling": {"reasoning": {"effort": "low", "summary": "auto"}},
        "usage": {"prompt_tokens": 328, "completion_tokens": 52, "cached_tokens": 128},
    }


def test_a_response_that_was_cut_short_says_so(wired: Any, wire: Any) -> None:
    wire.replay(f"{RESPONSES}/incomplete.sse")

    events = list(sdk(wired).responses.create(model="gpt-5", input="go", max_output_tokens=2, stream=True))

    assert events[-1].type == "response.incomplete"
    exchange = the_one(wired)
    assert (exchange["answer"]["content"], exchange["finish_reason"]) == ("It begins", "length")
    assert exchange["sampling"] == {"max_output_tokens": 2}


def test_responses_that_go_on_from_one_another_are_one_conversation(wired: Any, wire: Any) -> None:
    client = sdk(wired)
    whole = json.loads(wire.replay(f"{RESPONSES}/text_whole.json").body)
    last = None
    for turn in ("first", "second", "third"):
        body = json.dumps(whole | {"id": f"resp_{turn}"}).encode()
        wire.reply = wire.reply.but(pieces=(body,))
        last = client.responses.create(model="gpt-5", input=turn, previous_response_id=last).id
    other = json.dumps(whole | {"id": "resp_other"}).encode()
    wire.reply = wire.reply.but(pieces=(other,))
    client.responses.create(model="gpt-5", input="first of another", conversation="conv_named")

    *chain, named = (exchange["conversation_id"] for exchange in stored(wired))
    assert len(chain) == 3
    assert len(set(chain)) == 1
    assert named == "conv_named"
    assert [e["sampling"].get("previous_response_id") for e in stored(wired)] == [
        None,
        "resp_first",
        "resp_second",
        None,
    ]


@pytest.mark.parametrize("header", ["session_id", "session-id", "thread-id"])
def test_an_agents_session_header_is_the_conversation(wired: Any, wire: Any, header: str) -> None:
    wire.replay(f"{RESPONSES}/text_whole.json")

    sdk(wired).responses.create(model="gpt-5", input="hi", extra_headers={header: "0198-session"})

    assert stored(wired)[0]["conversation_id"] == "0198-session"


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_legacy_completion(wired: Any, wire: Any, is_stream: bool) -> None:
    wire.replay(f"{COMPLETIONS}/{'stream.sse' if is_stream else 'whole.json'}")
    asked: Any = {"model": "gpt-3.5-turbo-instruct", "prompt": "The capital of France is", "max_tokens": 16}

    if is_stream:
        chunks = list(sdk(wired).completions.create(**asked, stream=True))
        text = "".join(choice.text for chunk in chunks for choice in chunk.choices)
    else:
        text = sdk(wired).completions.create(**asked).choices[0].text

    exchange = the_one(wired)
    assert exchange["messages"] == [{"role": "user", "content": "The capital of France is"}]
    assert exchange["answer"] == {"role": "assistant", "content": text}
    assert exchange["sampling"] == {"max_tokens": 16, "raw": True}
    assert exchange["finish_reason"] == ("length" if is_stream else "stop")


def test_an_image_is_kept_as_a_part_without_its_bytes(wired: Any, wire: Any) -> None:
    wire.replay(f"{CHAT}/text.sse")
    picture = "iVBORw0K" * 1000
    image: Any = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}}

    list(
        sdk(wired).chat.completions.create(
            model="gpt-4.1", messages=[{"role": "user", "content": [image]}], stream=True
        )
    )

    assert picture.encode() in wire.received[0].body
    assert the_one(wired)["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,<8000 characters left out>"}}
    ]
