"""The `vae` command. A subcommand imports its packages only when it is called."""

from __future__ import annotations

import vaekit.cli.early_signals  # before the other imports, which take long

# isort: split
import errno
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from typing import Any

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
    sample,
    score,
    serve,
    train,
    upgrade,
)
from vaekit.cli.output import is_json, print_json, reset
from vaekit.cli.panels import GENERAL, TO_KEEP, TO_SCORE, TO_SERVE, TO_START, TO_TRAIN, Command, Group, examples
from vaekit.errors import InputError, MissingExtra, VaeError

_AS_JSON = "vaekit.json"  # key of the context


class Root(Group):
    """`vae`: lists its commands in the order of use; typer puts groups last."""

    def list_commands(self, ctx: Any) -> list[str]:
        names = [name for name in super().list_commands(ctx) if name != "models"]
        names.insert(names.index("push"), "models")
        return names

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[_AS_JSON] = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command. Typer prints a usage error on stderr; with --json there is also a document on stdout."""
        try:
            return super().invoke(ctx)
        except Exception as exc:
            message = getattr(exc, "format_message", None)  # only click's errors have it, of which typer has a copy
            if message is not None and ctx.meta[_AS_JSON]:
                _print_error(message(), "UsageError")
            raise


app = typer.Typer(
    name="vae",
    help="Train VAEs, serve them over HTTP, and score files of rows for anomalies.",
    epilog=examples(
        "vae score breast-cancer examples/rows.csv scored.parquet",
        "vae explain breast-cancer examples/rows.csv --row 0",
    ),
    cls=Root,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _add(name: str, function: Callable[..., None], epilog: str, panel: str) -> None:
    app.command(name, epilog=epilog, cls=Command, rich_help_panel=panel)(function)


# In the order of use, which is the order in the help.
_add("demo", demo.demo, demo.EXAMPLES, TO_START)
_add("init", init.init, init.EXAMPLES, TO_START)
_add("train", train.train, train.EXAMPLES, TO_TRAIN)
_add("evaluate", evaluate.evaluate, evaluate.EXAMPLES, TO_TRAIN)
_add("calibrate", calibrate.calibrate, calibrate.EXAMPLES, TO_TRAIN)
_add("explain-loss", explain_loss.explain_loss, explain_loss.EXAMPLES, TO_TRAIN)
_add("score", score.score, score.EXAMPLES, TO_SCORE)
_add("explain", explain.explain, explain.EXAMPLES, TO_SCORE)
_add("sample", sample.sample, sample.EXAMPLES, TO_SCORE)
_add("feedback", feedback.feedback, feedback.EXAMPLES, TO_SCORE)
_add("serve", serve.serve, serve.EXAMPLES, TO_SERVE)
app.add_typer(keys.app, name="keys", epilog=keys.EXAMPLES, rich_help_panel=TO_SERVE)
app.add_typer(models.app, name="models", rich_help_panel=TO_KEEP)
_add("push", exchange.push, exchange.PUSH_EXAMPLES, TO_KEEP)
_add("pull", exchange.pull, exchange.PULL_EXAMPLES, TO_KEEP)
_add("upgrade", upgrade.upgrade, upgrade.EXAMPLES, TO_KEEP)
_add("mlflow", mlflow.mlflow, mlflow.EXAMPLES, TO_KEEP)

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
    reset()


def main() -> None:
    """Run the command line. A VaeError becomes one line on stderr, or a JSON document on stdout, and exit code 1."""
    vaekit.cli.early_signals.restore_interrupt()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # names of columns may have letters that the terminal cannot show
    if not sys.warnoptions:  # Pillow warns of damaged EXIF, which is ignored, and does not name the file
        warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        _check_arguments(sys.argv[1:])
        if sys.argv[1:2] == ["help"]:  # as gh and git have it
            sys.argv[1:] = [*sys.argv[2:], "--help"]
        if "SOURCE_DATE_EPOCH" in os.environ:  # numpy reads it too, and fails in words of its own
            from vaekit.bundle.write import created

            created()
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except VaeError as exc:
        _fail(str(exc), type(exc).__name__)
    except OSError as exc:
        where = "standard output" if exc.filename is None and exc.errno == errno.ENOSPC else exc.filename
        _fail(str(exc) if where is None else f"{where}: {exc.strerror}", "OSError")
    except ModuleNotFoundError as exc:
        missing = (exc.name or "").split(".")[0]
        if missing not in _EXTRAS:
            raise
        _fail(f"{missing} is not installed: pip install 'vaekit[{_EXTRAS[missing]}]'", MissingExtra.__name__)


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


def _fail(message: str, kind: str) -> None:
    if is_json():
        _print_error(message, kind)
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"[bold red]error[/]: {_escape_markup(message)}")
    sys.exit(1)


def _print_error(message: str, kind: str) -> None:
    with suppress(OSError):  # stdout itself may be what failed
        print_json({"error": {"type": kind, "message": message}})


def _escape_markup(message: str) -> str:
    return message.replace("[", r"\[")
