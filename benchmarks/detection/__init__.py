"""How well the ELBO finds anomalies, beside other detectors on the same splits."""
