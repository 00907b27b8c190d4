"""Benchmarks as data: JSON lines, the seed's format and ours. Loading refuses what cannot be judged as written."""

from forge_evaluator.benchmarks.load import Benchmark, BenchmarkUnusable, Manifest, load, read, shipped
from forge_evaluator.benchmarks.task import Case, CodeCheck, ExactCheck, Task

__all__ = [
    "Benchmark",
    "BenchmarkUnusable",
    "Case",
    "CodeCheck",
    "ExactCheck",
    "Manifest",
    "Task",
    "load",
    "read",
    "shipped",
]
