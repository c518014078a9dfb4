"""The help of every command: its options, its examples, and docs/reference/cli.md.

`python -m tests.cli.test_cli_help` writes the tables of options on that page.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from vaekit.cli import app
from vaekit.cli.panels import COMPLETION

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "cli.md"
MARK = "<!-- renewed by: python -m tests.cli.test_cli_help -->\n"
GROUP: Any = typer.main.get_command(app)
COMMANDS: dict[str, Any] = {
    "": GROUP,
    **{
        f"{outer} {inner}".strip(): command
        for outer, group in GROUP.commands.items()
        for inner, command in {"": group, **getattr(group, "commands", {})}.items()
    },
}
ADDED = {
    "train": ["--set", "training.steps=60"],
    "serve": ["--port", "0"],
    "demo": ["--no-open", "--port", "0"],
}  # added to the examples: few steps, and a free port

ENDS = {"serve": "try:", "demo": "Ctrl-C ends"}  # what a command that serves prints when it is ready
BEFORE = {  # what must have run before an example
    "vae feedback": ["score", "breast-cancer", "examples/rows.csv", "scored.parquet", "--device", "cpu"],
    "vae models accept": ["calibrate", "breast-cancer", "examples/rows.csv", "--propose", "--device", "cpu"],
}


def shown_help(name: str) -> str:
    environment = {"COLUMNS": "200", "NO_COLOR": "1"}
    done = CliRunner().invoke(app, [*name.split(), "--help"], env=environment, prog_name="vae")
    assert done.exit_code == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)


def examples(name: str) -> list[str]:
    """The commands in the help of a command."""
    return re.findall(r"^ *\$ (vae .*?) *$", shown_help(name), re.MULTILINE)


def options(name: str) -> list[Any]:
    """The options of a command, without those of typer: --help and completion."""
    own = [option for option in COMMANDS[name].params if option.param_type_name == "option"]
    return [option for option in own if option.name not in COMPLETION]


ELSEWHERE = ("mlflow",)  # commands whose examples need a server: tests/test_mlflow.py
CASES = [pytest.param(line, id=line) for name in COMMANDS if name not in ELSEWHERE for line in examples(name)]
OPTIONS = [pytest.param(o, id=f"{name or 'vae'} {o.opts[0]}") for name in COMMANDS for o in options(name)]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with copies of the models and examples of the repository."""
    for name in ("models", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_is_one_line_and_two_examples(name: str) -> None:
    described = COMMANDS[name].help
    assert "\n" not in described.strip()
    assert described.endswith(".")
    assert len(examples(name)) == 2


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("example", CASES)
def test_every_example_of_the_help_runs(example: str, clone: Path) -> None:
    words = shlex.split(example)[1:]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("VAE_")}
    for start, before in BEFORE.items():
        if example.startswith(start):
            subprocess.run(
                [sys.executable, "-m", "vaekit", *before], cwd=clone, env=environment, check=True, timeout=120
            )
    command = [sys.executable, "-m", "vaekit", *words, *ADDED.get(words[0], [])]
    process = subprocess.Popen(
        command, cwd=clone, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    if words[0] in ENDS:
        assert process.stdout is not None
        assert any(ENDS[words[0]] in line for line in process.stdout), "the service ended before it was ready"
        process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=240)
    assert process.returncode == 0, stderr


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_has_a_panel_a_noun_phrase_and_a_default(option: Any) -> None:
    assert option.rich_help_panel, "no panel"
    assert option.help
    assert not option.help.endswith(".")
    assert not option.help.split()[0].istitle()
    assert option.required or option.default is not None or "default: " in option.help, "no default"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("--version", 0),
        ("explain-loss", 0),
        ("explain-loss nothing", 1),
        ("train", 1),
        ("train none.csv", 1),
        ("serve --port 99999", 1),
        ("score nothing examples/rows.csv scored.csv", 1),
        ("evaluate breast-cancer none.csv", 1),
        ("explain breast-cancer examples/rows.csv --row 999", 1),
        ("calibrate breast-cancer examples/rows.csv --anomaly 1", 1),
        ("", 2),
        ("score", 2),
        ("train --nothing", 2),
        ("keys new line-3 --file keys.toml", 0),
        ("keys new LINE", 1),
        ("keys new", 2),
        ("init new", 0),
        ("init new --data none.csv", 1),
        ("demo --port 99999", 2),
        ("explain breast-cancer examples/rows.csv --row -1", 2),
    ],
)
def test_a_command_exits_with_the_code_in_the_cli_reference(words: str, code: int, clone: Path) -> None:
    command = [sys.executable, "-m", "vaekit", *words.split()]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    if code == 1:
        assert done.stderr.startswith("error: ")
        assert "Traceback" not in done.stderr


def tables() -> str:
    """One section per command with the table of its options."""
    return "\n".join(
        f"### `{f'vae {name}'.strip()}`\n\n{command.help}\n\n{table(name)}"
        for name, command in COMMANDS.items()
        if options(name)
    )


def table(name: str) -> str:
    lines = ["| option | group | meaning | default |", "|---|---|---|---|"]
    for option in options(name):
        meaning, _, default = option.help.replace("|", r"\|").replace("<", r"\<").partition("; default: ")
        flags = " / ".join(f"`{flag}`" for flag in [*option.opts, *option.secondary_opts])
        lines.append(f"| {flags} | {option.rich_help_panel} | {meaning} | {shown(option, default)} |")
    return "\n".join([*lines, ""])


def shown(option: Any, described: str) -> str:
    if described:
        return described
    if option.required:
        return "required"
    return "off" if option.default is False else f"`{option.default}`"


def test_the_cli_reference_lists_every_option() -> None:
    assert PAGE.read_text().endswith(MARK + "\n" + tables()), "python -m tests.cli.test_cli_help renews it"


if __name__ == "__main__":
    PAGE.write_text(PAGE.read_text().split(MARK)[0] + MARK + "\n" + tables())
