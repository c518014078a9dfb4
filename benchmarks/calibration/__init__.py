"""Checks whether the rate of false alarms is as stated."""
