from __future__ import annotations

import pytest

from forge_engine import sampling
from forge_engine.sampling import BadOption


def test_a_requests_options_win_over_the_models_which_win_over_the_defaults():
    sent = sampling.llama_parameters(
        {"temperature": 0.1, "top_p": 0.5}, {"temperature": 0.0, "num_predict": 7}
    )

    assert (sent["temperature"], sent["top_p"], sent["top_k"], sent["n_predict"]) == (0.0, 0.5, 40, 7)


def test_repetition_is_not_punished_unless_asked():
    assert sampling.llama_parameters()["repeat_penalty"] == 1.0


def test_unknown_options_are_ignored_and_null_is_absent():
    assert sampling.llama_parameters({"no_such": 1, "top_k": None}) == sampling.llama_parameters()


def test_one_stop_string_may_stand_without_a_list():
    assert sampling.llama_parameters({"stop": "<|im_end|>"})["stop"] == ["<|im_end|>"]


@pytest.mark.parametrize("options", [{"temperature": "hot"}, {"seed": "x"}, {"stop": [1]}, {"top_p": True}])
def test_an_option_of_the_wrong_type_is_refused_by_name(options):
    with pytest.raises(BadOption, match=next(iter(options))):
        sampling.llama_parameters(options)


@pytest.mark.parametrize(
    ("layers", "trained", "expected"),
    [
        ([], 32768, 4096),
        ([], 512, 512),
        ([{"num_ctx": 8192}], 32768, 8192),
        ([{"num_ctx": 8192}, {"num_ctx": 256}], 32768, 256),
        ([{"num_ctx": 8192}], 512, 512),
        ([{"num_ctx": 8192}], 0, 8192),
    ],
)
def test_the_context_is_what_was_asked_last_and_never_more_than_trained(layers, trained, expected):
    assert sampling.context_length(4096, trained, *layers) == expected


def test_json_format_binds_to_an_object_and_a_schema_to_itself():
    schema = {"type": "object", "properties": {}}

    assert sampling.grammar("json") == {"json_schema": {"type": "object"}}
    assert sampling.grammar(schema) == {"json_schema": schema}
    assert sampling.grammar(None) == sampling.grammar("") == {}
    with pytest.raises(BadOption, match="yaml"):
        sampling.grammar("yaml")
