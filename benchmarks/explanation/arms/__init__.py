"""Peers that run in their own environments; each is a program that prints one line of JSON."""
