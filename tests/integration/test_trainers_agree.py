"""The same data on the same base: both trainers must learn the same, and each must read the other's adapters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from forge_common import nano
from forge_common.contracts.base import Contract
from forge_common.contracts.domain import TrainingRules
from forge_common.contracts.exchange import Message
from forge_common.nano import teacher, traffic
from forge_common.nano.grading import passes
from forge_common.nano.tasks import held_out_tasks
from forge_common.queue.child import run_child
from forge_common.queue.stage import Beat
from forge_common.weights.adapter import read_adapter
from forge_common.weights.jobs import TrainOutcome

MISSING = [name for name in ("torch", "peft", "mlx", "mlx_lm") if find_spec(name) is None]
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed here: {', '.join(MISSING)}"),
]
cuda = pytest.importorskip("forge_trainer_cuda.jobs", reason="trainer-cuda is not installed here")
mlx = pytest.importorskip("forge_trainer_mlx.jobs", reason="trainer-mlx is not installed here")

RULES = TrainingRules(
    rank=8,
    alpha=16,
    iterations=16,
    batch_size=8,
    learning_rate=3e-3,
    max_seq_length=256,
    evaluate_every=4,
)
# Only the LoRA's random start differs.
LOSS_TOLERANCE = 0.1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trainers")
    prompts = list(traffic.coding_requests(80))
    (folder / "train.jsonl").write_text("".join(rows(prompts[:64])))
    (folder / "valid.jsonl").write_text("".join(rows(prompts[64:])))
    return folder


def rows(prompts: list[str]) -> Iterator[str]:
    for prompt in prompts:
        question = {"role": "user", "content": prompt}
        answer = {"role": "assistant", "content": teacher.answer([question])}
        yield json.dumps({"messages": [question, answer], "source": "imported"}) + "\n"


@pytest.fixture(scope="module")
def by_torch(folder: Path):
    job = train_job(cuda, folder, "torch", device="cpu")
    return TrainOutcome.model_validate(in_torch(job, folder))


@pytest.fixture(scope="module")
def by_mlx(folder: Path):
    job = train_job(mlx, folder, "mlx", memory_share=0.9)
    return TrainOutcome.model_validate(in_mlx(job, folder))


def train_job(jobs, folder: Path, name: str, rules: TrainingRules = RULES, **particular) -> Contract:
    return jobs.TrainJob(
        base=str(nano.base_dir()),
        base_name="nano",
        train=str(folder / "train.jsonl"),
        valid=str(folder / "valid.jsonl"),
        system_prompt="",
        rules=rules,
        workdir=str(folder / name),
        max_tokens_at_once=2048,
        **particular,
    )


def in_torch(job: Contract, folder: Path):
    (folder / "torch").mkdir(exist_ok=True)
    # Waiting threads must not spin on a machine that others use.
    quiet = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
    return run_child(
        "forge_trainer_cuda.child", job.model_dump(mode="json"), beat=Beat(), cwd=folder, env=quiet
    )


def in_mlx(job: Contract, folder: Path):
    from forge_trainer_mlx.environment import child_environment
    from forge_trainer_mlx.settings import Settings

    environment = child_environment(Settings(home=folder, threads=1), {})
    return run_child(
        "forge_trainer_mlx.child", job.model_dump(mode="json"), beat=Beat(), cwd=folder, env=environment
    )


def test_both_start_from_the_same_loss(by_torch, by_mlx):
    # A fresh LoRA adds nothing, so this is the base's own loss on the same first batch.
    assert by_mlx.curve[0].train_loss == pytest.approx(by_torch.curve[0].train_loss, rel=1e-3)


def test_both_learn_equally_well_from_the_same_tokens(by_torch, by_mlx):
    assert losses(by_mlx) == pytest.approx(losses(by_torch), rel=LOSS_TOLERANCE)
    assert losses(by_mlx)[-1] < 0.9 * losses(by_mlx)[0]
    assert by_mlx.tokens == by_torch.tokens


def test_both_mean_the_same_by_dora_named_maps_tokens_schedule_and_replay(folder):
    rules = RULES.model_copy(
        update={
            "method": "dora",
            "targets": ("q_proj", "down_proj"),
            "num_layers": 2,
            "batch_tokens": 512,
            "schedule": "cosine",
            "replay": 0.25,
            "iterations": 8,
        }
    )
    given = {"replay": str(folder / "valid.jsonl"), "rules": rules}

    torch, mlx_ = (
        TrainOutcome.model_validate(
            run(train_job(jobs, folder, f"{name}-dora", **given, **particular), folder)
        )
        for jobs, name, run, particular in (
            (cuda, "torch", in_torch, {"device": "cpu"}),
            (mlx, "mlx", in_mlx, {"memory_share": 0.9}),
        )
    )

    assert losses(mlx_) == pytest.approx(losses(torch), rel=LOSS_TOLERANCE)
    assert (mlx_.tokens, mlx_.steps) == (torch.tokens, torch.steps)
    by_torch, by_mlx = (read_adapter(Path(outcome.adapter)) for outcome in (torch, mlx_))
    assert by_mlx.pairs.keys() == by_torch.pairs.keys()
    assert by_mlx.is_dora
    assert (by_mlx.rank, by_mlx.alpha) == (by_torch.rank, by_torch.alpha)


def test_held_out_tasks_are_solved_equally_often_within_noise(folder, by_torch, by_mlx):
    tasks = held_out_tasks(per_family=1)
    asked = {
        "base": str(nano.base_dir()),
        "prompts": tuple((Message(role="user", content=task.prompt),) for task in tasks),
        "adapters": (None, by_torch.adapter, by_mlx.adapter),
        "max_tokens": 48,
    }
    job = cuda.GreedyJob(**asked, device="cpu")

    answers = in_torch(job, folder)["answers"]

    base, torch, mlx_ = (
        sum(passes(task, answer["text"]) for task, answer in zip(tasks, each, strict=True)) / len(tasks)
        for each in answers
    )
    assert min(torch, mlx_) > base + 0.2
    # Two standard errors of the difference, at their largest.
    assert abs(torch - mlx_) < 2 * (0.5 / len(tasks)) ** 0.5


def losses(outcome: TrainOutcome) -> list[float]:
    return [point.valid_loss for point in outcome.curve if point.valid_loss is not None]


def test_each_reads_the_others_adapter(folder, by_torch, by_mlx):
    prompts = tuple((Message(role="user", content=text),) for text in traffic.coding_requests(4, seed=7))
    asked = {
        "base": str(nano.base_dir()),
        "prompts": prompts,
        "adapters": (None, by_torch.adapter, by_mlx.adapter),
        "max_tokens": 32,
    }

    in_torchs_words = in_torch(cuda.GreedyJob(**asked, device="cpu"), folder)["answers"]
    in_mlxs_words = in_mlx(mlx.GreedyJob(**asked, memory_share=0.9), folder)["answers"]

    assert [tokens_of(answers) for answers in in_mlxs_words] == [
        tokens_of(answers) for answers in in_torchs_words
    ]
    assert tokens_of(in_mlxs_words[0]) != tokens_of(in_mlxs_words[2])


def tokens_of(answers) -> list[list[int]]:
    return [answer["tokens"] for answer in answers]
