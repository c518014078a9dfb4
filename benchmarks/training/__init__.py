"""What the trainer does beside others and beside its own promises: `python -m benchmarks.training`. Light to import."""
