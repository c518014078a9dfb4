"""What every command does alike: -h, --json, --quiet, errors, the next command, and output without a terminal."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.cli.test_cli_help import COMMANDS
from tests.conftest import ROOT
from vaekit.cli import app, main
from vaekit.errors import InputError

LEAVES = [name for name, command in COMMANDS.items() if not getattr(command, "commands", None)]
BY_STEPS = {"demo"}  # a command for people alone, which prints what it does step by step
SCORE = ("score", "breast-cancer", "examples/rows.csv", "scored.csv", "--device", "cpu")


def flags(name: str) -> set[str]:
    return {flag for option in COMMANDS[name].params for flag in option.opts}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a model and rows."""
    shutil.copytree(ROOT / "models/breast-cancer", tmp_path / "models/breast-cancer")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_main(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit code of a command that fails."""
    monkeypatch.setattr(sys, "argv", ["vae", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


def on_terminal(*words: str, columns: int = 80) -> str:
    """What a terminal of this width shows of a command."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm"}
    command = [sys.executable, "-m", "vaekit", *words]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                more = os.read(ours, 65536)
            except OSError:  # the terminal was closed by its last process
                break
            if not more:
                break
            shown += more
    os.close(ours)
    assert process.returncode == 0, shown.decode()
    return shown.decode()


def test_the_help_and_the_version_import_nothing_that_takes_long() -> None:
    code = "import sys, vaekit.cli; print([name for name in sys.argv[1:] if name in sys.modules])"
    slow = ["numpy", "pyarrow", "torch", "onnxruntime", "pydantic", "matplotlib", "fastapi", "httpx"]
    done = subprocess.run([sys.executable, "-c", code, *slow], capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_h_is_short_for_help(name: str) -> None:
    done = CliRunner().invoke(app, [*name.split(), "-h"])
    assert done.exit_code == 0
    assert "Examples:" in done.stdout


@pytest.mark.parametrize("name", [name for name in LEAVES if name not in BY_STEPS])
def test_every_command_has_json_and_quiet(name: str) -> None:
    assert {"--json", "--quiet", "-q"} <= flags(name)


def test_the_same_option_has_the_same_help_and_panel_in_every_command() -> None:
    kept: dict[str, Any] = {}
    shared = {"--json", "--quiet", "--label-folder", "--anomaly", "--delimiter"}
    for name in LEAVES:
        for option in COMMANDS[name].params:
            for flag in shared & set(option.opts):
                if flag == "--delimiter" and name in ("train", "init"):
                    continue  # these have no training before them that the default follows
                assert kept.setdefault(flag, (option.help, option.rich_help_panel)) == (
                    option.help, option.rich_help_panel,
                )  # fmt: skip


def test_the_commands_are_listed_in_the_order_of_use() -> None:
    shown = [name for name in COMMANDS[""].commands if name in ("train", "evaluate", "score", "serve", "push")]
    assert shown == ["train", "evaluate", "score", "serve", "push"]


def test_a_misspelt_command_names_the_one_that_was_meant() -> None:
    done = CliRunner().invoke(app, ["scroe"])
    assert done.exit_code == 2
    assert "Did you mean 'score'?" in done.stderr


def test_score_prints_its_summary_as_one_json_document(place: Path) -> None:
    done = CliRunner().invoke(app, [*SCORE, "--json", "--summary", "summary.json"])
    found = json.loads(done.stdout)
    assert (found["rows"], found["output"]) == (12, "scored.csv")
    assert json.loads((place / "summary.json").read_text()) == found


@pytest.mark.usefixtures("place")
def test_score_refuses_json_beside_rows_on_standard_output() -> None:
    done = CliRunner().invoke(app, ["score", "breast-cancer", "examples/rows.csv", "-", "--json"])
    assert str(done.exception).startswith("--json: the scored rows go to standard output")


def test_quiet_leaves_only_the_result(place: Path) -> None:
    done = CliRunner().invoke(app, [*SCORE, "--quiet"])
    assert (done.stdout, done.stderr) == ("", "")
    assert (place / "scored.csv").is_file()
    done = CliRunner().invoke(app, ["explain", "breast-cancer", "examples/rows.csv", "--row", "0", "-q"])
    assert "worst" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("wrong", [["--nonsense"], ["--alpha", "often"], []])
def test_a_wrong_command_line_with_json_is_a_document_on_stdout(wrong: list[str]) -> None:
    given = [*SCORE, *wrong] if wrong else ["score", "breast-cancer"]
    done = CliRunner().invoke(app, [*given, "--json"])
    assert done.exit_code == 2
    error = json.loads(done.stdout)["error"]
    assert error["type"] == "UsageError"
    assert error["message"].startswith(
        "No such option: --nonsense" if wrong[:1] == ["--nonsense"] else ("Invalid", "Missing")
    )
    assert "Usage:" in done.stderr
    assert CliRunner().invoke(app, given).stdout == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_cannot_be_written_or_is_closed_is_no_crash() -> None:
    command = f"{shlex.quote(sys.executable)} -m vaekit models list --models {shlex.quote(str(ROOT / 'models'))}"
    for options, output, code in (("--json", ">/dev/full", 1), ("", ">/dev/full", 1), ("", ">&-", 0)):
        done = subprocess.run(f"{command} {options} {output}", shell=True, capture_output=True, text=True, check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), (options, output, done.stderr)


@pytest.mark.usefixtures("place")
def test_an_error_is_a_sentence_on_stderr_and_with_json_a_document_on_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "no model 'brest-cancer' in models"
    assert run_main(monkeypatch, "score", "brest-cancer", "examples/rows.csv", "scored.csv") == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: {said}")
    assert run_main(monkeypatch, "score", "brest-cancer", "examples/rows.csv", "scored.csv", "--json") == 1
    printed = capsys.readouterr()
    error = json.loads(printed.out)["error"]
    assert error["type"] == "UnknownModel"
    assert error["message"].startswith(said)
    assert printed.err.startswith(f"error: {said}")


def test_keys_new_prints_the_key_and_its_entry_as_json(place: Path) -> None:
    done = CliRunner().invoke(app, ["keys", "new", "line-3", "--file", "keys.toml", "--json"])
    found = json.loads(done.stdout)
    assert done.stderr == ""
    assert found["key"].startswith("vae_")
    assert (found["name"], found["file"]) == ("line-3", "keys.toml")
    assert found["entry"].strip() in (place / "keys.toml").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("place")
def test_a_terminal_is_told_the_next_command_unless_it_is_quiet() -> None:
    shown = on_terminal(*SCORE)
    assert "next: vae explain breast-cancer examples/rows.csv" in shown
    assert "next:" not in on_terminal(*SCORE, "--quiet")
    assert "next:" not in CliRunner().invoke(app, list(SCORE)).output


@pytest.mark.slow
@pytest.mark.usefixtures("place")
def test_output_without_a_terminal_has_no_control_characters() -> None:
    for words in (["models", "list"], ["explain", "breast-cancer", "examples/rows.csv", "--row", "0"], [*SCORE]):
        command = [sys.executable, "-m", "vaekit", *words]
        done = subprocess.run(command, capture_output=True, check=True)
        assert b"\x1b" not in done.stdout + done.stderr
        assert b"\r" not in done.stdout + done.stderr


@pytest.mark.usefixtures("place")
def test_an_invalid_row_is_named_with_its_file_and_what_to_do(place: Path) -> None:
    rows = (place / "examples/rows.csv").read_text(encoding="utf-8").replace("17.99", "hello", 1)
    (place / "bad.csv").write_text(rows, encoding="utf-8")
    said = "bad.csv: row 0, feature 'mean radius': not a number: 'hello' (line 2 of the file)"
    done = CliRunner().invoke(app, ["score", "breast-cancer", "bad.csv", "scored.csv"])
    assert str(done.exception) == f"{said}; --quarantine FILE sets invalid rows aside"
    assert str(CliRunner().invoke(app, ["explain", "breast-cancer", "bad.csv"]).exception) == said
    (place / "bad.csv").write_text(rows.replace("hello", '"1,5"').replace("\n", "\n\n"), encoding="utf-8")
    done = CliRunner().invoke(app, ["evaluate", "breast-cancer", "bad.csv"])
    assert str(done.exception).endswith(" '1,5' (line 3 of the file); --decimal ',' reads it")
    done = CliRunner().invoke(app, ["score", "bad.csv", "breast-cancer", "scored.csv"])
    assert str(done.exception) == "bad.csv: this is a file, expected a model, which comes before the rows"


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("command", ["score", "explain", "evaluate"])
def test_a_missing_or_repeated_column_is_named_with_its_file(place: Path, command: str) -> None:
    rows = (place / "examples/rows.csv").read_text(encoding="utf-8")
    output = ["scored.csv"] if command == "score" else []
    for new, said in (("x", "the input lacks 1 of the model's columns: 'mean radius'"), ("mean area", "duplicate")):
        (place / "bad.csv").write_text(rows.replace("mean radius", new, 1), encoding="utf-8")
        done = CliRunner().invoke(app, [command, "breast-cancer", "bad.csv", *output])
        assert isinstance(done.exception, InputError)
        assert str(done.exception).startswith(f"bad.csv: {said}")


def test_help_is_a_word_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(monkeypatch, "help", "models", "pin") == 0
    assert "Choose the version that services and commands use" in capsys.readouterr().out


INTERRUPTED = """
import os, signal, sys
from importlib.abc import MetaPathFinder

*sys.argv, module = sys.argv
sys.argv[0] = "/usr/bin/vae"

class Sender(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Sender())
from vaekit.cli import main
main()
"""


@pytest.mark.parametrize("module", ["typer", "vaekit.cli.score", "vaekit.bundle"])
@pytest.mark.usefixtures("place")
def test_ctrl_c_while_importing_exits_with_130_without_a_traceback(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, "models", "list", module], capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
