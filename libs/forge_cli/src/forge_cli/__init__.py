"""The forge command."""
