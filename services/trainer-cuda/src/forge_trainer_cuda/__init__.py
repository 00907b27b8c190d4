"""Weights on NVIDIA cards, or on the CPU when told: torch, peft, bitsandbytes."""
