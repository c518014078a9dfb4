"""Which cells of a row are anomalous, and what the model expected there."""
