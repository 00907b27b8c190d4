"""Practice: a model tries tasks, sees what failed, and tries again; what passes becomes training data. Never a benchmark's task."""
