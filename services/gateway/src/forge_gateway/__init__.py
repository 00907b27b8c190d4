"""Answers: an OpenAI-compatible API over the promoted models."""
