"""The evaluator's commands for one machine, without a registry: each adds its words and runs. The `forge` command starts them."""
