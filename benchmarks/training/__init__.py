"""Compares the trainer with others and with its targets: `python -m benchmarks.training`. Imports no torch."""
