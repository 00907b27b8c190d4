"""The embedded engine as a program: runners, memory, crashes, restarts. What any Ollama does too is in tests/contracts/engine."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import psutil
import pytest
from gguf import GGUFReader

from forge_common.engine import GREEDY, EngineRefused, EngineUnavailable
from forge_engine.testing.scripted_model import HELLO, write_scripted_model

pytestmark = pytest.mark.integration
ASK = [{"role": "user", "content": "hi"}]


def runners(engine):
    return [p for p in psutil.Process(engine.process.pid).children() if "forge_engine.runner" in p.cmdline()]


def wait_until(claim, seconds=10.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if claim():
            return True
        time.sleep(0.05)
    return False


def busy_s(engine):
    """CPU time of the runners: they write an answer."""
    return sum(sum(runner.cpu_times()[:2]) for runner in runners(engine))


def loaded(client):
    return [tag.name for tag in client.ps()]


def test_killing_the_engine_leaves_no_runner_behind(start, push, ggufs):
    with start() as engine:
        client = engine.client()
        client.create("hello", gguf_sha=push(client, ggufs["hello"]))
        client.chat("hello", ASK)
        children = runners(engine)
        assert children

        engine.process.send_signal(signal.SIGKILL)

        _, alive = psutil.wait_procs(children, timeout=10)
        assert alive == []


def test_a_polite_end_stops_the_runners_and_is_quick(start, push, ggufs):
    with start() as engine:
        client = engine.client()
        client.create("hello", gguf_sha=push(client, ggufs["hello"]))
        client.chat("hello", ASK)
        children = runners(engine)

        engine.process.send_signal(signal.SIGTERM)

        assert engine.process.wait(10) in (0, -signal.SIGTERM)
        _, alive = psutil.wait_procs(children, timeout=5)
        assert alive == []


def test_models_survive_a_kill_of_the_engine(start, push, ggufs):
    with start() as engine:
        client = engine.client()
        client.create("hello", gguf_sha=push(client, ggufs["hello"]), system="Be kind.")
        digest = client.tag("hello").digest
        engine.process.kill()

    with start() as engine:
        client = engine.client()
        assert client.tag("hello").digest == digest
        assert client.chat("hello", ASK, options=GREEDY).text == "hello world"


def test_an_upload_cut_by_a_kill_is_never_visible(start, ggufs):
    data = ggufs["hello"].read_bytes()
    sha = hashlib.sha256(data).hexdigest()
    with start() as engine:
        client = engine.client()

        def half():
            yield data[: len(data) // 2]
            engine.process.kill()
            engine.process.wait()
            yield data[len(data) // 2 :]

        with pytest.raises(EngineUnavailable):
            client.push_blob(sha, half())

    with start() as engine:
        assert not engine.client().has_blob(sha)
        assert list((engine.store / "blobs").iterdir()) == []


def test_a_runner_that_dies_is_a_clear_error_and_the_next_request_gets_a_new_one(engine, client, push, ggufs):
    client.create("endless", gguf_sha=push(client, ggufs["endless"]), parameters={"num_ctx": 65536})
    client.chat("endless", ASK, options={"num_predict": 1})
    before = busy_s(engine)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.chat, "endless", ASK, options={**GREEDY, "num_predict": 60000})
        assert wait_until(lambda: busy_s(engine) > before + 0.2, 60)
        for runner in runners(engine):
            runner.kill()
        with pytest.raises(EngineRefused, match="runner") as failure:
            asked.result(30)

    assert failure.value.status == 500
    assert client.chat("endless", ASK, options={**GREEDY, "num_predict": 3}).completion_tokens == 3


def test_a_runner_that_dies_in_a_stream_ends_it_with_an_error_line(engine, client, push, ggufs):
    client.create("endless", gguf_sha=push(client, ggufs["endless"]), parameters={"num_ctx": 65536})
    body = {"model": "endless", "messages": ASK, "options": {"num_predict": 60000}}

    with httpx2.stream("POST", f"{engine.url}/api/chat", json=body, timeout=60) as stream:
        lines = stream.iter_lines()
        next(lines)
        for runner in runners(engine):
            runner.kill()
        last = [line for line in lines if line][-1]

    assert "runner" in last
    assert '"error"' in last


@pytest.mark.parametrize(
    ("adapter", "reason"),
    [("llama", "architecture 'llama'"), ("wide", "output.weight"), ("hello", "no GGUF LoRA")],
)
def test_an_adapter_that_does_not_fit_is_refused_at_create(client, push, ggufs, adapter, reason):
    client.create("hello", gguf_sha=push(client, ggufs["hello"]))

    with pytest.raises(EngineRefused, match=reason):
        client.create("tuned", from_="hello", adapter_sha=push(client, ggufs[adapter]))

    assert client.tag("tuned") is None


def test_an_adapter_on_an_adapter_is_refused(client, push, ggufs):
    client.create("hello", gguf_sha=push(client, ggufs["hello"]))
    adapter = push(client, ggufs["goodbye"])
    client.create("tuned", from_="hello", adapter_sha=adapter)

    with pytest.raises(EngineRefused, match="already carries an adapter"):
        client.create("twice", from_="tuned", adapter_sha=adapter)


def test_a_gguf_that_llama_cpp_cannot_load_is_refused_at_create_and_the_engine_lives(
    engine, client, push, tmp_path
):
    path = write_scripted_model(tmp_path / "renamed.gguf", HELLO)
    data = path.read_bytes().replace(b"blk.1.attn_q.weight", b"blk.9.attn_q.weight")
    path.write_bytes(data)
    assert any(tensor.name == "blk.9.attn_q.weight" for tensor in GGUFReader(path).tensors)

    with pytest.raises(EngineRefused, match=r"cannot be loaded.*blk\.1\.attn_q\.weight"):
        client.create("renamed", gguf_sha=push(client, path))

    assert client.tags() == []
    assert runners(engine) == []


@pytest.mark.parametrize("field", ["template", "quantize", "messages"])
def test_what_is_not_served_is_refused_and_not_ignored(engine, client, push, ggufs, field):
    client.create("hello", gguf_sha=push(client, ggufs["hello"]))
    value = [{"role": "user", "content": "x"}] if field == "messages" else "q4_K_M"

    reply = httpx2.post(f"{engine.url}/api/create", json={"model": "x", "from": "hello", field: value})

    assert reply.status_code == 400
    assert field in reply.json()["error"]


def test_safetensors_are_refused(engine, client, push, ggufs):
    sha = push(client, ggufs["hello"])
    files = {"model.safetensors": f"sha256:{sha}", "config.json": f"sha256:{sha}"}

    reply = httpx2.post(f"{engine.url}/api/create", json={"model": "x", "files": files})

    assert reply.status_code == 400
    assert "GGUF" in reply.json()["error"]


def test_the_least_recently_used_model_makes_room(start, push, ggufs):
    # Each runner counts with 64 MiB, its cache and its weights: two fit, three do not.
    with start(memory_bytes="150MiB", slots="1") as engine:
        client = engine.client()
        sha = push(client, ggufs["hello"])
        for number in (1, 2, 3):
            client.create(f"m{number}", gguf_sha=sha, parameters={"num_ctx": 256 + number})
            client.chat(f"m{number}", ASK)

        assert loaded(client) == ["m3:latest", "m2:latest"]
        client.chat("m2", ASK)
        client.chat("m1", ASK)
        assert loaded(client) == ["m1:latest", "m2:latest"]
        assert len(runners(engine)) == 2


def test_a_busy_model_is_not_unloaded_but_waited_for(start, push, ggufs):
    with start(memory_bytes="150MiB", slots="1") as engine:
        client = engine.client()
        client.create("endless", gguf_sha=push(client, ggufs["endless"]), parameters={"num_ctx": 32768})
        client.create("hello", gguf_sha=push(client, ggufs["hello"]))
        client.chat("endless", ASK, options={"num_predict": 1})
        with ThreadPoolExecutor(1) as pool:
            busy = pool.submit(client.chat, "endless", ASK, options={**GREEDY, "num_predict": 5000})
            time.sleep(0.3)
            quick = client.chat("hello", ASK, options=GREEDY)

        assert busy.result().completion_tokens == 5000
        assert quick.text == "hello world"


def test_a_model_that_can_never_fit_is_refused_with_the_setting_to_change(start, push, ggufs):
    with start(memory_bytes="66MiB") as engine:
        client = engine.client()

        with pytest.raises(EngineRefused, match="FORGE_ENGINE_MEMORY_BYTES"):
            client.create("endless", gguf_sha=push(client, ggufs["endless"]), parameters={"num_ctx": 65536})
            client.chat("endless", ASK)


def test_a_model_leaves_memory_when_its_keep_alive_ends(engine, client, push, ggufs):
    client.create("hello", gguf_sha=push(client, ggufs["hello"]))

    client.chat("hello", ASK, keep_alive="3s")

    assert loaded(client) == ["hello:latest"]
    assert wait_until(lambda: not loaded(client) and not runners(engine), 60)


def test_keep_alive_zero_unloads_at_once_and_an_empty_request_loads(engine, client, push, ggufs):
    client.create("hello", gguf_sha=push(client, ggufs["hello"]))

    httpx2.post(f"{engine.url}/api/generate", json={"model": "hello"}, timeout=30)
    after_load = loaded(client)
    httpx2.post(f"{engine.url}/api/generate", json={"model": "hello", "keep_alive": 0}, timeout=30)

    assert (after_load, loaded(client)) == (["hello:latest"], [])


def test_two_names_for_the_same_weights_share_a_runner(engine, client, push, ggufs):
    client.create("hello", gguf_sha=push(client, ggufs["hello"]))
    client.copy("hello", "alias")

    client.chat("hello", ASK)
    client.chat("alias", ASK)

    assert len(runners(engine)) == 1
    assert loaded(client) == ["hello:latest"]


def test_text_that_is_not_utf8_is_no_error(engine, client, push, ggufs):
    client.create("broken", gguf_sha=push(client, ggufs["broken-text"]))
    streamed = httpx2.post(
        f"{engine.url}/api/chat", json={"model": "broken", "messages": ASK, "options": GREEDY}, timeout=30
    )

    whole = client.chat("broken", ASK, options=GREEDY, logprobs=True)
    cut = client.chat("broken", ASK, options={**GREEDY, "num_predict": 1})

    assert whole.text == "\ufffdhello"
    assert whole.reason == "stop"
    assert streamed.status_code == 200
    assert '"done":true' in streamed.text
    assert cut.reason == "length"


@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_caller_who_hangs_up_frees_the_slot(start, push, ggufs, is_streamed):
    with start(slots="1") as engine:
        client = engine.client()
        client.create("endless", gguf_sha=push(client, ggufs["endless"]), parameters={"num_ctx": 131072})
        client.chat("endless", ASK, options={"num_predict": 1})
        body = {
            "model": "endless",
            "messages": ASK,
            "stream": is_streamed,
            "options": {"num_predict": 130000},
        }

        if is_streamed:
            with httpx2.stream("POST", f"{engine.url}/api/chat", json=body, timeout=30) as stream:
                next(stream.iter_lines())
        else:
            with pytest.raises(httpx2.ReadTimeout):
                httpx2.post(f"{engine.url}/api/chat", json=body, timeout=1)
        begun = time.monotonic()
        client.chat("endless", ASK, options={"num_predict": 1})

        assert time.monotonic() - begun < 10


def test_an_idle_engine_does_not_spin(engine, client, push, ggufs):
    client.create("hello", gguf_sha=push(client, ggufs["hello"]))
    client.chat("hello", ASK)
    everyone = [psutil.Process(engine.process.pid), *runners(engine)]

    before = sum(sum(p.cpu_times()[:2]) for p in everyone)
    time.sleep(3)

    assert sum(sum(p.cpu_times()[:2]) for p in everyone) - before < 0.15


def test_runners_can_only_be_reached_with_their_own_key(engine, client, push, ggufs):
    client.create("hello", gguf_sha=push(client, ggufs["hello"]))
    client.chat("hello", ASK)
    (runner,) = runners(engine)
    (listening,) = [c.laddr for c in runner.net_connections() if c.status == psutil.CONN_LISTEN]

    reply = httpx2.post(f"http://{listening.ip}:{listening.port}/completion", json={"prompt": "x"})

    assert listening.ip == "127.0.0.1"
    assert reply.status_code == 401
    assert not any("key" in part.lower() for part in runner.cmdline())


def test_a_page_from_elsewhere_may_not_delete_models(engine, client, push, ggufs):
    client.create("hello", gguf_sha=push(client, ggufs["hello"]))

    reply = httpx2.request(
        "DELETE",
        f"{engine.url}/api/delete",
        json={"model": "hello"},
        headers={"origin": "https://evil.example"},
    )

    assert reply.status_code == 403
    assert client.tag("hello") is not None


def test_a_second_engine_on_the_same_store_says_so(engine):
    environment = os.environ | {"FORGE_ENGINE_HOME": str(engine.store)}

    second = subprocess.run(
        [*engine.process.args[:3], "--port", "0"],
        check=False,
        env=environment,
        capture_output=True,
        timeout=60,
    )

    assert second.returncode != 0
    assert b"another engine has" in second.stderr


def test_the_log_never_holds_what_was_said(engine, client, push, ggufs):
    client.create("hello", gguf_sha=push(client, ggufs["hello"]))
    client.chat("hello", [{"role": "user", "content": "my secret phrase"}])

    assert "secret phrase" not in engine.log.read_text()
