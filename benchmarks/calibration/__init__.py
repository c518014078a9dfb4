"""Checks that the false-alarm rate of p-values is at most alpha."""
