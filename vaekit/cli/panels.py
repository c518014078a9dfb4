"""The panels and examples of the commands' help."""

from __future__ import annotations

INPUT, OUTPUT, LABELS = "Input", "Output", "Labels"
CONFIG, SCORING, EXPLANATION = "Config", "Scoring", "Explanation"
CLUSTER, DEVICE = "Cluster", "Device"
ADDRESS, KEYS, LOG, PLATFORM = "Address", "Keys", "Log", "Cloud platform"
GENERAL = "General"
ERROR, KL, DATA = "Reconstruction error", "KL", "Data"


def examples(*commands: str, note: str = "") -> str:
    """The text at the end of a command's help: an optional note, and example commands, one per line."""
    lines = [note] if note else []
    return "\n\n".join([*lines, "Examples:", *(f"$ {command}" for command in commands)])
