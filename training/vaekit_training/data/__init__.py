"""Rows: from files to what the networks see, part by part and batch by batch. Knows no model."""
