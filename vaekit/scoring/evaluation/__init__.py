"""Evaluates a model on a file, explains one row, and calibrates a model on other rows."""
