"""Reads rows from files, splits them, and makes batches of them as the networks see them."""
