"""Whether the odd cell of a row is found, and what was expected there: `python -m benchmarks.explanation`."""
