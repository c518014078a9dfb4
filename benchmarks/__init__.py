"""Benchmarks against other tools and against targets, each run by `python -m benchmarks.NAME`. Not installed."""
