"""Whether false alarms come as often as they are said to."""
