"""Peers in environments of their own, each a program that prints one line of JSON. Knows no figures."""
