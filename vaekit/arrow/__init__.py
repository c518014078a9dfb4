"""Arrow columns -> the array that a model takes. Knows tables and the input spec; no files, no HTTP, no models."""
