"""Side-by-side measurements, each run by `python -m benchmarks.NAME`. Nothing of the product imports them."""
