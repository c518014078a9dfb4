"""The panels and examples of the commands' help."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

INPUT, OUTPUT, LABELS = "Input", "Output", "Labels"
CONFIG, SCORING, EXPLANATION = "Config", "Scoring", "Explanation"
CLUSTER, DEVICE = "Cluster", "Device"
ADDRESS, KEYS, LOG, PLATFORM = "Address", "Keys", "Log", "Cloud platform"
GENERAL = "General"
ERROR, KL, DATA = "Reconstruction error", "KL", "Data"

TO_START, TO_TRAIN, TO_SCORE = "Start", "Train and check", "Score, explain, sample"  # panels of `vae`
TO_SERVE, TO_KEEP = "Serve", "Versions and exchange"

COMPLETION = {  # typer's options of `vae`
    "install_completion": "installation of completion in this shell: commands, options, models",
    "show_completion": "script of the completion for this shell",
}


class Command(TyperCommand):
    """A command whose --help is listed last, among the general options."""

    def get_params(self, ctx: Any) -> Any:
        return [_without_type(option) for option in super().get_params(ctx)]

    def get_help_option(self, ctx: Any) -> Any:
        return _general(super().get_help_option(ctx), "this page")


class Group(TyperGroup):
    """A group of commands whose --help and completion are listed last, among the general options."""

    def get_params(self, ctx: Any) -> Any:
        for option in self.params:
            if option.name in COMPLETION:
                _general(option, COMPLETION[option.name])
        return [_without_type(option) for option in super().get_params(ctx)]

    def get_help_option(self, ctx: Any) -> Any:
        return _general(super().get_help_option(ctx), "this page")


def _without_type(option: Any) -> Any:
    """An option whose help does not say of a flag that it is a bool."""
    if getattr(option, "is_flag", False) and option.metavar is None:
        option.metavar = ""
    return option


def _general(option: Any, described: str) -> Any:
    if option is not None:
        option.rich_help_panel, option.help = GENERAL, described
    return option


def examples(*commands: str, note: str = "") -> str:
    """The text at the end of a command's help: an optional note, and example commands, one per line."""
    lines = [note] if note else []
    return "\n\n".join([*lines, "Examples:", *(f"$ {command}" for command in commands)])
