"""Arms of the scoring benchmark; each runs in its own process."""
