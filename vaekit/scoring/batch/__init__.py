"""Runs of `vae score`: pipeline, parts, summary, and the engines that score the parts."""
