"""Benchmarks as data: JSON lines, the seed's format and ours. Loading refuses what cannot be judged as written."""

from forge_evaluator.benchmarks.checks import (
    Case,
    Check,
    ChoiceCheck,
    CodeCheck,
    Criterion,
    DocumentCheck,
    ExactCheck,
    HarnessCheck,
    NumberCheck,
    ParsedCheck,
    ShellCase,
    ShellCheck,
    Snippet,
    SnippetCheck,
    SqlCase,
    SqlCheck,
)
from forge_evaluator.benchmarks.load import Benchmark, load, practice, read, shipped
from forge_evaluator.benchmarks.manifest import BenchmarkUnusable, Contents, Manifest
from forge_evaluator.benchmarks.task import Difficulty, Task
from forge_evaluator.sandbox.model import Language

__all__ = [
    "Benchmark",
    "BenchmarkUnusable",
    "Case",
    "Check",
    "ChoiceCheck",
    "CodeCheck",
    "Contents",
    "Criterion",
    "Difficulty",
    "DocumentCheck",
    "ExactCheck",
    "HarnessCheck",
    "Language",
    "Manifest",
    "NumberCheck",
    "ParsedCheck",
    "ShellCase",
    "ShellCheck",
    "Snippet",
    "SnippetCheck",
    "SqlCase",
    "SqlCheck",
    "Task",
    "load",
    "practice",
    "read",
    "shipped",
]
