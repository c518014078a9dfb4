"""The opening sections of a report: is the model good, which rows are anomalous, what is promised, what to do next."""
