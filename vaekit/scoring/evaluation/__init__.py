"""A model measured on labelled rows, one row explained, and a model calibrated anew."""
