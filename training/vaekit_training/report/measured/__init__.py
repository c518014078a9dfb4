"""What the opening of a report measures: verdicts of test rows, the most anomalous of them, and planted faults."""
