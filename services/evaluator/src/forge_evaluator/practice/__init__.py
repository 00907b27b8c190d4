"""Practice tasks as data: a model may learn from them, so none may overlap with a benchmark. Same format as benchmarks."""
