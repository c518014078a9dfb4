"""Joins labels that come late with logged scores."""
