"""Judgement: benchmarks, sandbox, scorers, statistics, gate."""
