"""The trainers that are compared, each a program of its own that prints one line of JSON. Knows no targets."""
