"""Weights on Apple silicon: mlx-lm on Metal, or on mlx's CPU build for tests."""
