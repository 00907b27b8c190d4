"""Base models, adapters and GGUF files on numpy alone: what both trainers share. Never imports torch, transformers or mlx."""
