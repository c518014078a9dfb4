"""The training loop of one model, from its first step to its best weights."""
