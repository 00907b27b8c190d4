"""What the Forge relies on beyond shapes: what is served are the weights that were sent, and names move at once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import httpx2
import openai
import pytest

from forge_common.engine import GREEDY, EngineRefused

from .conftest import Fixtures

pytestmark = pytest.mark.integration
HELLO = [{"role": "user", "content": "Say hello"}]


def test_the_base_answers_with_its_own_weights(models: Fixtures) -> None:
    answer = models.engine.chat(models.base, HELLO, options=GREEDY)

    assert (answer.text, answer.reason) == ("hello world", "stop")


def test_an_adapter_changes_the_answer(models: Fixtures) -> None:
    assert models.engine.chat(models.tuned, HELLO, options=GREEDY).text == "goodbye dog"


def test_the_ggufs_own_chat_template_is_in_force(models: Fixtures) -> None:
    shown = models.engine.show(models.base)

    assert "<|im_start|>" in shown.template
    assert shown.rope_freq_base == 1e6


def test_a_system_prompt_of_the_model_is_part_of_the_prompt(models: Fixtures) -> None:
    name = f"{models.new}:system"
    models.engine.create(name, from_=models.base, system="You answer in one word, and never in two.")

    told = models.engine.chat(name, HELLO, options=GREEDY).prompt_tokens
    own = [{"role": "system", "content": "Short."}, *HELLO]
    overridden = models.engine.chat(name, own, options=GREEDY).prompt_tokens

    assert told > overridden
    assert overridden == models.engine.chat(models.base, own, options=GREEDY).prompt_tokens


def test_parameters_of_the_model_apply_and_a_requests_options_win(models: Fixtures) -> None:
    name = f"{models.new}:short"
    models.engine.create(name, from_=models.base, parameters={"num_predict": 1, "temperature": 0.0})

    assert models.engine.chat(name, HELLO).text == "hello"
    assert models.engine.chat(name, HELLO, options={"num_predict": 8}).text == "hello world"


def test_a_child_keeps_its_parents_parameters_and_overrides_by_key(models: Fixtures) -> None:
    parent, child = f"{models.new}:parent", f"{models.new}:child"
    models.engine.create(parent, from_=models.base, parameters={"num_predict": 1, "num_ctx": 256})

    models.engine.create(child, from_=parent, parameters={"num_predict": 2})

    lines = {tuple(line.split()) for line in models.engine.show(child).parameters.splitlines()}
    assert lines == {("num_ctx", "256"), ("num_predict", "2")}


def test_num_ctx_of_the_model_bounds_the_prompt(models: Fixtures) -> None:
    name = f"{models.new}:narrow"
    models.engine.create(name, from_=models.base, parameters={"num_ctx": 256})
    long = [{"role": "user", "content": "x" * 300}]

    with pytest.raises(EngineRefused, match="256") as refusal:
        models.engine.chat(name, long, options=GREEDY)

    assert refusal.value.status == 400
    assert models.engine.chat(models.base, long, options=GREEDY).text == "hello world"


def test_stop_strings_end_the_answer(models: Fixtures) -> None:
    answer = models.engine.chat(models.base, HELLO, options={**GREEDY, "stop": [" world"]})

    assert (answer.text, answer.reason) == ("hello", "stop")


def test_num_predict_ends_the_answer_by_length(models: Fixtures) -> None:
    answer = models.engine.chat(models.endless, HELLO, options={**GREEDY, "num_predict": 5})

    assert (answer.text, answer.reason, answer.completion_tokens) == ("tick tocktick tocktick", "length", 5)


def test_a_copied_over_name_answers_with_the_new_weights(models: Fixtures) -> None:
    live = f"{models.alias}:live"
    models.engine.copy(models.base, live)
    before = models.engine.chat(live, HELLO, options=GREEDY).text

    models.engine.copy(models.tuned, live)

    assert (before, models.engine.chat(live, HELLO, options=GREEDY).text) == ("hello world", "goodbye dog")


def test_copies_have_the_same_digest_and_outlive_their_source(models: Fixtures) -> None:
    source, copied = f"{models.new}:source", f"{models.alias}:copied"
    models.engine.create(source, from_=models.tuned)
    models.engine.copy(source, copied)

    digests = {models.engine.tag(name) and models.engine.tag(name).digest for name in (source, copied)}  # type: ignore[union-attr]
    models.engine.delete(source)

    assert len(digests) == 1
    assert models.engine.chat(copied, HELLO, options=GREEDY).text == "goodbye dog"
    with pytest.raises(EngineRefused, match="not found"):
        models.engine.chat(source, HELLO)


@pytest.mark.parametrize("change", ["copy", "create", "delete"])
def test_a_stream_in_flight_finishes_on_what_it_began_with(
    models: Fixtures, http: httpx2.Client, change: str
) -> None:
    name = f"{models.alias}:moving-{change}"
    models.engine.copy(models.endless, name)
    body = {
        "model": name,
        "prompt": "tick",
        "raw": True,
        "options": {"num_predict": 300, "temperature": 0, "num_ctx": 512},
    }

    with http.stream("POST", "/api/generate", json=body) as stream:
        lines = stream.iter_lines()
        texts = [json.loads(next(lines))["response"]]
        _change(models, name, change)
        rest = [json.loads(line) for line in lines if line]

    texts += [line["response"] for line in rest]
    assert rest[-1]["done_reason"] == "length"
    assert "".join(texts) == " tocktick" * 150


def _change(models: Fixtures, name: str, change: str) -> None:
    if change == "copy":
        models.engine.copy(models.base, name)
    elif change == "create":
        models.engine.create(name, from_=models.tuned)
    else:
        models.engine.delete(name)


def test_one_model_answers_several_requests_at_once(models: Fixtures) -> None:
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(models.engine.chat, models.base, HELLO, options=GREEDY) for _ in range(24)]

    assert {one.result().text for one in asked} == {"hello world"}


def test_the_same_seed_gives_the_same_answer(models: Fixtures) -> None:
    options = {"temperature": 5.0, "seed": 42, "num_predict": 12, "top_k": 0, "top_p": 1.0}

    first, second = (models.engine.chat(models.base, HELLO, options=options).text for _ in range(2))
    other = models.engine.chat(models.base, HELLO, options=options | {"seed": 43}).text

    assert first == second != other


def test_a_json_schema_binds_the_answer(models: Fixtures, http: httpx2.Client) -> None:
    schema = {"type": "object", "properties": {"label": {"enum": ["refund"]}}, "required": ["label"]}
    body = {"model": models.base, "messages": HELLO, "format": schema, "stream": False, "options": GREEDY}

    text = http.post("/api/chat", json=body).json()["message"]["content"]

    assert text.lstrip().startswith("{")


def test_a_failed_create_leaves_the_name_as_it_was(models: Fixtures) -> None:
    name = f"{models.new}:kept"
    models.engine.create(name, from_=models.base)

    with pytest.raises(EngineRefused):
        models.engine.create(name, gguf_sha=models.sha("truncated"))

    assert models.engine.chat(name, HELLO, options=GREEDY).text == "hello world"


def test_the_openai_sdk_gets_whole_and_streamed_answers(models: Fixtures, engine_url: str) -> None:
    client = openai.OpenAI(base_url=f"{engine_url}/v1", api_key="any")

    whole = client.chat.completions.create(model=models.tuned, messages=HELLO, temperature=0)  # type: ignore[arg-type]
    stream = client.chat.completions.create(
        model=models.tuned,
        messages=HELLO,  # type: ignore[arg-type]
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)

    assert whole.choices[0].message.content == "goodbye dog"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "goodbye dog"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens  # type: ignore[union-attr]


def test_the_openai_sdk_sees_a_missing_model_as_not_found(engine_url: str) -> None:
    client = openai.OpenAI(base_url=f"{engine_url}/v1", api_key="any", max_retries=0)

    with pytest.raises(openai.NotFoundError, match="nope"):
        client.chat.completions.create(model="nope", messages=HELLO)  # type: ignore[arg-type]
