"""The `vae` command. A subcommand imports its packages only when it is called."""

from __future__ import annotations

import vaekit.cli.early_signals  # noqa: F401 - before the other imports, which take long

# isort: split
import os
import sys
import warnings
from io import TextIOWrapper

import typer
from rich.console import Console

from vaekit._version import __version__
from vaekit.cli import (
    calibrate,
    demo,
    evaluate,
    exchange,
    explain,
    explain_loss,
    feedback,
    init,
    keys,
    mlflow,
    models,
    score,
    serve,
    train,
    upgrade,
)
from vaekit.cli.panels import GENERAL, examples
from vaekit.errors import InputError, MissingExtra, VaeError

app = typer.Typer(
    name="vae",
    help="Train VAEs, serve them over HTTP, and score files of rows for anomalies.",
    epilog=examples("vae score breast-cancer examples/rows.csv scored.parquet", "vae --version"),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
app.command("demo", epilog=demo.EXAMPLES)(demo.demo)
app.command("init", epilog=init.EXAMPLES)(init.init)
app.command("train", epilog=train.EXAMPLES)(train.train)
app.command("serve", epilog=serve.EXAMPLES)(serve.serve)
app.add_typer(keys.app, name="keys", epilog=keys.EXAMPLES)
app.command("score", epilog=score.EXAMPLES)(score.score)
app.command("calibrate", epilog=calibrate.EXAMPLES)(calibrate.calibrate)
app.command("evaluate", epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.command("feedback", epilog=feedback.EXAMPLES)(feedback.feedback)
app.command("explain", epilog=explain.EXAMPLES)(explain.explain)
app.command("explain-loss", epilog=explain_loss.EXAMPLES)(explain_loss.explain_loss)
app.add_typer(models.app, name="models")
app.command("push", epilog=exchange.PUSH_EXAMPLES)(exchange.push)
app.command("pull", epilog=exchange.PULL_EXAMPLES)(exchange.pull)
app.command("mlflow", epilog=mlflow.EXAMPLES)(mlflow.mlflow)
app.command("upgrade", epilog=upgrade.EXAMPLES)(upgrade.upgrade)

_EXTRAS = {
    "torch": "training",
    "onnx": "training",
    "matplotlib": "scoring",
    "PIL": "scoring",
    "sklearn": "training",
    "scipy": "scoring",
    "fastapi": "service",
    "uvicorn": "service",
    "limits": "service",
    "pyarrow": "scoring",
    "ray": "ray",
    "huggingface_hub": "hub",
    "onnxruntime": "cpu",
}


def _version(show: bool) -> None:
    if show:
        typer.echo(f"vaekit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="version of vaekit", rich_help_panel=GENERAL
    ),
) -> None:
    _ = version


def main() -> None:
    """Run the command line. A VaeError becomes one line on stderr and exit code 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # names of columns may have letters that the terminal cannot show
    if not sys.warnoptions:  # Pillow warns of damaged EXIF, which is ignored, and does not name the file
        warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        _check_arguments(sys.argv[1:])
        if "SOURCE_DATE_EPOCH" in os.environ:  # numpy reads it too, and fails in words of its own
            from vaekit.bundle.write import created

            created()
        app()
    except VaeError as exc:
        _fail(str(exc))
    except OSError as exc:
        _fail(f"{exc.filename}: {exc.strerror}" if exc.filename is not None else str(exc))
    except ModuleNotFoundError as exc:
        missing = (exc.name or "").split(".")[0]
        if missing not in _EXTRAS:
            raise
        _fail(str(MissingExtra(f"{missing} is not installed: pip install 'vaekit[{_EXTRAS[missing]}]'")))


def _check_arguments(arguments: list[str]) -> None:
    """Refuse what cannot be passed on as UTF-8, as file systems other than the local one and Arrow need it.

    Raises:
        InputError: letters that the locale does not have, or bytes that are no text.
    """
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            plain = sys.getfilesystemencoding().lower() in ("utf-8", "utf8")
            why = "not UTF-8 text: rename the file" if plain else "letters that this locale lacks: set PYTHONUTF8=1"
            raise InputError(f"argument {argument!a}: {why}") from None


def _fail(message: str) -> None:
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"[bold red]error[/]: {_escape_markup(message)}")
    sys.exit(1)


def _escape_markup(message: str) -> str:
    return message.replace("[", r"\[")
