"""Measures the service against other servers and against the graph alone: `python -m benchmarks.serving`."""
