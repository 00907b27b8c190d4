"""What `make demo` promises, asked of the services after it has run."""

import json
import random
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from openai import OpenAI

from forge_common import nano
from forge_common.artifacts import ArtifactClient
from forge_common.contracts.base import RunId
from forge_common.contracts.dataset import DatasetManifest, DatasetRow
from forge_common.contracts.runs import RunKind, RunRequest, RunState
from forge_common.contracts.scorecard import Verdict
from forge_common.errors import RemoteProblem
from forge_common.nano.tasks import held_out_tasks
from forge_common.weights.adapter import read_adapter
from forge_common.weights.checkpoint import Checkpoint
from forge_engine import verify

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
ASKED = "Write a Python function calc_stage(values) that returns the sum of the numbers in values."


def promoted_run(forge):
    """The demo's run; lists are short, so the whole of it is asked for."""
    registry = forge.registry()
    runs = [
        run for run in registry.runs("nano") if run.kind is RunKind.TRAIN and run.state is RunState.PROMOTED
    ]
    return registry.run(runs[-1].id)


def practised(forge):
    """How many exchanges came of practice so far, pairs included."""
    kept = forge.json("data", "--by", "origin", "--domain", "nano")["exchanges"]
    return sum(row["exchanges"] for row in kept if row["origin"] == "practice")


def group(card, name):
    return next(score for score in card.groups if score.group == name)


def ask(forge, prompt, *, stream=False, model="engie-nano:latest"):
    client = OpenAI(base_url=f"{forge.url('gateway')}/v1", api_key="any", max_retries=0)
    messages = [{"role": "user", "content": prompt}]
    if stream:
        chunks = client.chat.completions.create(model=model, messages=messages, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    return client.chat.completions.create(model=model, messages=messages).choices[0].message.content


def test_the_held_out_score_rises_from_below_30_to_above_80(shown):
    card = promoted_run(shown).scorecard

    coding = group(card, "coding")
    assert coding.incumbent.mean < 30
    assert coding.candidate.mean > 80
    assert coding.candidate.n >= 100
    assert card.verdict is Verdict.PROMOTE
    assert [one.asked > 0 for one in card.parity] == [True, True]


def test_the_general_domain_loses_no_more_than_10_points(shown):
    general = group(promoted_run(shown).scorecard, "general")

    assert general.candidate.mean >= general.incumbent.mean - 10


def test_the_dataset_holds_enough_rows_and_no_held_out_prompt(shown):
    artifacts = artifact_client(shown)
    manifest = artifacts.read_json(promoted_run(shown).dataset, DatasetManifest)

    rows = rows_of(artifacts, manifest.train.sha256)
    prompts = {row.messages[-2].text() for row in rows}
    assert sum("Python function" in prompt for prompt in prompts) >= 300
    assert sum("Python function" not in prompt for prompt in prompts) >= 100
    assert not prompts & {task.prompt for task in held_out_tasks()}


def test_a_run_on_shuffled_answers_is_kept_and_not_promoted(shown):
    registry = shown.registry()
    before = next(p for p in registry.pointers().pointers if p.domain == "nano").live
    spoilt = spoil(artifact_client(shown), promoted_run(shown).dataset)

    view = registry.start_run(RunRequest(domain="nano", dataset=spoilt))
    view = wait_for_end(registry, view.id)

    assert view.state is RunState.KEPT, view.error
    assert group(view.scorecard, "coding").candidate.mean < group(view.scorecard, "coding").incumbent.mean
    assert next(p for p in registry.pointers().pointers if p.domain == "nano").live == before


def test_two_versions_are_compared_of_which_neither_is_live(shown):
    """The spoilt one of the test before, and the bare base."""
    registry, artifacts = shown.registry(), artifact_client(shown)
    spoilt = registry.versions("nano")[0].number

    view = registry.start_run(RunRequest(domain="nano", kind=RunKind.EVAL, version=spoilt, opponent=0))
    view = wait_for_end(registry, view.id)

    assert (view.state, view.version, view.opponent) == (RunState.KEPT, spoilt, 0), view.error
    card = view.scorecard
    assert (card.incumbent, card.is_against_live) == ("engie-nano:v0", False)
    assert [one.model for one in card.parity] == [f"engie-nano:v{spoilt}", "engie-nano:v0"]
    assert all(one.equal >= one.asked / 2 > 0 for one in card.parity)
    page = artifacts.fetch(view.stages[-1].result["page"]["sha256"]).read_text()
    assert card.lost
    assert page.index(f"<span class=id>{card.lost[0]}<") < page.index("'flag dim'")


def test_the_live_version_practises_better_than_the_bare_base_and_what_passes_is_kept(shown):
    before = practised(shown)
    bare = shown.json("iterate", "--tasks", "30", "--attempts", "1", "--model", "engie-nano:v0", "--dry-run")
    live = shown.json("iterate", "--tasks", "30", "--attempts", "2", "--model", "engie-nano:v1")

    assert bare["practice"] == live["practice"]
    assert 0 < bare["solved"] < 15 < live["solved"] == live["exchanges"]
    (past,) = shown.json("iterate", "--history")
    assert past["solved"] == live["solved"]
    assert practised(shown) - before == live["new"]


def test_two_versions_are_compared_by_the_command_line_which_says_where_the_report_is(shown, tmp_path):
    page = tmp_path / "report.html"

    judged = shown.json("eval", "--version", "1", "--vs", "0", "--report", str(page))

    assert (judged["version"], judged["opponent"], judged["report"]) == (1, 0, str(page))
    assert "engie-nano:v0" in page.read_text()


def test_an_imported_files_sound_tasks_become_a_domains_benchmark_and_judge_a_version(shown, tmp_path):
    """One record of three has a wrong solution, as public files do."""
    source, file = tmp_path / "public.jsonl", tmp_path / "he.jsonl"
    public = ROOT / "services/evaluator/tests/fixtures/imports/humaneval.jsonl"
    good = json.loads(public.read_text().splitlines()[0])
    wrong = good | {"task_id": "wrong", "canonical_solution": "    return []\n"}
    source.write_text(public.read_text() + json.dumps(wrong) + "\n")

    made = shown.json(
        "bench", "import", "humaneval", str(source), "--out", str(file), "--domain", "education"
    )
    judged = shown.json("eval", "--version", "1", "--benchmark", str(file))

    assert made["tasks"] == 3
    assert made["checked"]["written"]["left_out"] == ["wrong"]
    (education,) = [d for d in shown.json("domain")["domains"] if d["id"] == "education"]
    assert education["benchmark"] == made["uploaded"] == judged["scorecard"]["benchmark"]
    assert judged["scorecard"]["tasks"] == 2


def test_a_benchmark_that_cannot_tell_right_from_wrong_is_refused_when_it_is_given(shown, tmp_path):
    file = tmp_path / "tasks.jsonl"
    task = {"id": "lazy", "prompt": "Say a.", "kind": "exact", "expected": "a"}
    file.write_text(json.dumps(task | {"gold_answer": "b"}))
    before = shown.json("domain")

    refused = shown.run("domain", "legal", "--benchmark", str(file), check=False)
    after = shown.json("domain")
    file.write_text(json.dumps(task | {"gold_answer": "a"}))
    given = shown.json("domain", "finance", "--benchmark", str(file))
    others = shown.json("init", "--domain", "nano")["other_benchmarks"]

    assert refused.returncode == 5
    assert "lazy" in refused.stderr
    assert after == before
    finance = next(d["benchmark"] for d in given["domains"] if d["id"] == "finance")
    assert artifact_client(shown).fetch(finance).read_bytes() == file.read_bytes()
    assert others["finance"].endswith("benchmarks/finance.jsonl")
    assert "nano" not in others


def test_a_version_is_exported_as_a_folder_that_others_can_load(shown, tmp_path):
    adapter, fused, gguf = (tmp_path / name for name in ("adapter", "fused", "gguf"))

    shown.json("model", "export", "--version", "1", "--out", str(adapter))
    shown.json("model", "export", "--version", "1", "--fused", "--out", str(fused))
    made = shown.json("model", "export", "--version", "1", "--fused", "--quant", "q4_k_m", "--out", str(gguf))
    again = shown.run("model", "export", "--version", "1", "--out", str(adapter), check=False)

    base, merged = Checkpoint(nano.base_dir()), Checkpoint(fused)
    changed = read_adapter(adapter).pairs
    assert merged.names() == base.names()
    # bfloat16 becomes f16, which rounds only the smallest numbers.
    kept = [name for name in base.names() if np.allclose(merged.tensor(name), base.tensor(name), atol=1e-6)]
    assert set(base.names()) - set(kept) == set(changed)
    assert {"README.md", "LICENSE", "tokenizer.json", "engie-nano-v1-q4_k_m.gguf"} <= set(made["files"])
    assert (
        "written anew from the same weights: llama.cpp gave the trained weights' greedy answer"
        in made["fidelity"]
    )
    (file,) = gguf.glob("*.gguf")
    (answer,) = verify.greedy(file, [[{"role": "user", "content": ASKED}]])
    assert "def calc_stage(values)" in answer.text
    card = (adapter / "README.md").read_text()
    assert "license: apache-2.0" in card
    assert "| proxy | nano-teacher |" in card
    assert "| n | engie-nano:v1 |" in card  # of its last evaluation, whichever that was
    assert (again.returncode, "exists already" in again.stderr) == (2, True)


def test_the_promoted_model_answers_through_the_openai_sdk(shown):
    whole, streamed = ask(shown, ASKED), ask(shown, ASKED, stream=True)

    assert "def calc_stage(values)" in whole
    assert streamed == whole


def test_rollback_and_promotion_by_the_command_line_move_what_is_served(shown):
    live = shown.json("status")["pointers"]
    version = next(p["live"] for p in live if p["domain"] == "nano")

    back = shown.json("rollback", "--reason", "a test")
    assert back["previous"] == version
    assert back["version"] != version
    forward = shown.json("promote", str(version))
    assert forward["version"] == version


def test_a_second_up_is_a_no_op_that_says_so(shown):
    assert shown.json("up")["started"] is False
    assert "already" in shown.run("up").stdout


def test_an_unknown_version_is_refused_with_what_to_do(shown):
    refused = shown.run("promote", "v99", check=False)

    assert refused.returncode == 2
    assert "v99" in refused.stderr
    with pytest.raises(RemoteProblem):
        shown.registry().run(RunId("run_unknown"))


def test_every_command_speaks_json(shown):
    for command in (["status"], ["domain"], ["data"], ["runs"], ["versions"]):
        assert shown.json(*command)


def test_the_readmes_commands_run(shown):
    assert shown.json("init", "--domain", "coding")["domain"] == "coding"
    assert shown.json("domain", "nano")["active"] == "nano"
    assert shown.json("data", "build")["manifest"]["train_rows"] >= 400

    judged = shown.json("eval")

    assert judged["state"] == "kept"
    assert judged["scorecard"]["candidate"].startswith("engie-nano:v")


def test_make_up_is_forge_up(shown):
    made = subprocess.run(
        ["make", "up"], cwd=ROOT, env=shown.env, capture_output=True, text=True, check=False, timeout=300
    )

    assert made.returncode == 0, made.stderr
    assert "already" in made.stdout


def wait_for_end(registry, run, timeout_s=900):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        for _ in registry.events(run):
            pass
        view = registry.run(run)
        if view.state.is_final:
            return view
    raise AssertionError(f"run {run} did not end")


def artifact_client(forge):
    return ArtifactClient(
        forge.url("registry"), forge.here.secret("key"), forge.home / "cache" / "test-artifacts"
    )


def rows_of(artifacts, sha256):
    return [DatasetRow.model_validate_json(line) for line in artifacts.fetch(sha256).read_text().splitlines()]


def spoil(artifacts, dataset):
    """The same prompts, the coding answers dealt out at random: what no gate may let through."""
    manifest = artifacts.read_json(dataset, DatasetManifest)
    rows = rows_of(artifacts, manifest.train.sha256)
    answers = [row.messages[-1] for row in rows]
    random.Random(3).shuffle(answers)
    dealt = [
        row.model_copy(update={"messages": (*row.messages[:-1], answer)})
        for row, answer in zip(rows, answers, strict=True)
    ]
    train = artifacts.push_bytes("".join(f"{row.model_dump_json()}\n" for row in dealt).encode(), "dataset")
    spoilt = manifest.model_copy(update={"train": train})
    return artifacts.push_bytes(spoilt.model_dump_json().encode(), "dataset").sha256
