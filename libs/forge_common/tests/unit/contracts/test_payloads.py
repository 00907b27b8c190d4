"""What crosses a boundary is frozen and strict."""

import pytest
from pydantic import ValidationError

from forge_common import domains
from forge_common.contracts.base import Bundle, StageId
from forge_common.contracts.domain import DomainDocument
from forge_common.contracts.runs import Hardware
from forge_common.contracts.stages import StageKind
from forge_common.contracts.tasks import TASKS, Doorbell, bell_for


def test_an_unknown_field_is_refused():
    with pytest.raises(ValidationError, match="extra"):
        Doorbell.model_validate({"stage_id": "s", "dataset": "rows"})


def test_a_payload_is_frozen():
    bell = Doorbell(stage_id=StageId("s"))

    with pytest.raises(ValidationError, match="frozen"):
        bell.stage_id = StageId("t")


def test_a_bundle_refuses_paths_that_climb():
    for path in ("../x", "/etc/passwd", "a/../../b", "a//b", ".hidden"):
        with pytest.raises(ValidationError):
            Bundle.model_validate({"kind": "base", "files": [{"path": path, "sha256": "0" * 64, "size": 1}]})


def test_a_task_is_named_once_per_queue():
    assert len({(task.name, task.queue) for task in TASKS}) == len(TASKS)


@pytest.mark.parametrize("hardware", [Hardware.CUDA, Hardware.MLX, Hardware.CPU])
def test_training_and_exporting_ring_the_same_hardware(hardware):
    assert bell_for(StageKind.TRAIN, hardware) is bell_for(StageKind.EXPORT, hardware)


def test_every_shipped_domain_reads_and_is_named_after_its_file():
    for name in domains.shipped():
        assert domains.load(name).id == name


def test_an_unknown_domain_is_refused_with_the_known_ones():
    with pytest.raises(domains.DomainUnknown, match="coding"):
        domains.load("astrology")


def test_the_seeds_domain_document_is_accepted():
    document = DomainDocument.model_validate(
        {
            "id": "your-domain",
            "name": "Your Domain Name",
            "description": "What this domain covers",
            "base_model": "Qwen2.5-Coder-7B-Instruct-4bit",
            "model_prefix": "engie-yourdomain",
            "system_prompt": "You are an expert in...",
            "data": {"min_response_length": 100, "require_code_blocks": False, "dedup_by_hash": True},
            "eval": {
                "has_executable_tests": False,
                "scoring": {
                    "structure": {"weight": 25},
                    "correctness": {"weight": 40},
                    "similarity": {"weight": 20},
                    "completeness": {"weight": 15},
                },
            },
            "training": {"iterations": 500, "batch_size": 4, "learning_rate": 1e-5, "num_layers": 16},
            "ollama": {"temperature": 0.7, "top_p": 0.9, "num_ctx": 8192},
        }
    )

    assert document.ollama.parameters() == {
        "temperature": 0.7,
        "top_p": 0.9,
        "num_ctx": 8192,
        "repeat_penalty": 1.0,
    }
    training = document.training
    assert (training.iterations, training.batch_size, training.num_layers) == (500, 4, 16)
    assert training.learning_rate == 1e-5
    assert document.model_name(3) == "engie-yourdomain:v3"
