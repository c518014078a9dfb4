"""Compares anomaly detection by the ELBO with other detectors on the same splits."""
