"""What a user of each server writes and waits for to get a calibrated anomaly verdict over HTTP from a CSV."""
