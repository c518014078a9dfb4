"""The compared trainers. Each is a program that prints one line of JSON."""
