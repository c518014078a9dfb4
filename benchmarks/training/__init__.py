"""Compares the trainer with other trainers and with targets: `python -m benchmarks.training`."""
