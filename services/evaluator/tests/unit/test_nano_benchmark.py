from importlib.resources import files

from forge_common.nano import benchmark


def test_the_shipped_nano_benchmark_is_what_its_generator_makes():
    shipped = files("forge_evaluator").joinpath("benchmarks/nano.jsonl").read_text(encoding="utf-8")
    assert shipped == benchmark.dump()
