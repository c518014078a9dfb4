"""The compared trainers; each is a program that prints one line of JSON."""
