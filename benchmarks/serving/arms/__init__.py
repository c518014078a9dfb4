"""Servers and loops to compare with; each runs in its own process."""
