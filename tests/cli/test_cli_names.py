"""The command has two installed names, `vae` and `vaekit`; each shows its own in usage lines and completion."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NAMES = ("vae", "vaekit")


def run(name: str, *words: str, **variables: str) -> str:
    """The standard output of the installed command."""
    command = [str(Path(sys.executable).parent / name), *words]
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", **variables}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("name", NAMES)
def test_a_usage_line_has_the_name_that_was_called(name: str) -> None:
    assert f"Usage: {name} score [OPTIONS]" in run(name, "score", "--help")


@pytest.mark.parametrize("name", NAMES)
def test_completion_works_under_both_names(name: str) -> None:
    variable = f"_{name.upper()}_COMPLETE"
    shown = run(name, "--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert variable in shown
    assert f"complete -o default -F _{name}_completion {name}" in shown
    completed = run(name, **{variable: "complete_bash", "COMP_WORDS": f"{name} tr", "COMP_CWORD": "1"})
    assert completed.split() == ["train"]
