"""Measures whether explanations find a corrupted cell: `python -m benchmarks.explanation`."""
