"""Explains scores: the most anomalous cells of a row, and the values that the model expected there."""
