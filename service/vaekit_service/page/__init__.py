"""The page at /: a playground for the served models, as static files without a build step."""
