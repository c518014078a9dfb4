"""How fast the service answers beside others, and beside the graph alone: `python -m benchmarks.serving`."""
