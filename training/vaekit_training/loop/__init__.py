"""The training loop of one model: steps, validation, best weights."""
