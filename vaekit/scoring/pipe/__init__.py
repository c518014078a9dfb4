"""Scores rows that arrive on a pipe, each as it comes."""
