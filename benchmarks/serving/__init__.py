"""Measures the speed of the service against other servers and the graph alone: `python -m benchmarks.serving`."""
