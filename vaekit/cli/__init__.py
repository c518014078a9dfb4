"""The `vae` command. Each subcommand imports what it needs when it is called."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from vaekit._version import __version__
from vaekit.cli import calibrate, evaluate, explain, explain_loss, score, serve, train
from vaekit.errors import MissingExtra, VaeError

app = typer.Typer(
    name="vae",
    help="Train, serve and score with variational autoencoders: exact ELBOs in nats, in the data's own units.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
app.command("train")(train.train)
app.command("serve")(serve.serve)
app.command("score")(score.score)
app.command("calibrate")(calibrate.calibrate)
app.command("evaluate")(evaluate.evaluate)
app.command("explain")(explain.explain)
app.command("explain-loss")(explain_loss.explain_loss)

_EXTRAS = {
    "torch": "training",
    "onnx": "training",
    "matplotlib": "scoring",
    "sklearn": "training",
    "scipy": "scoring",
    "fastapi": "service",
    "uvicorn": "service",
    "pyarrow": "scoring",
    "ray": "ray",
    "onnxruntime": "cpu",
}


def _version(show: bool) -> None:
    if show:
        typer.echo(f"vaekit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    _ = version


def main() -> None:
    """Run the command line; an error that is on purpose is one sentence on stderr and exit code 1."""
    try:
        app()
    except VaeError as exc:
        _fail(str(exc))
    except ModuleNotFoundError as exc:
        missing = (exc.name or "").split(".")[0]
        if missing not in _EXTRAS:
            raise
        _fail(str(MissingExtra(f"{missing} is not installed: pip install 'vaekit[{_EXTRAS[missing]}]'")))


def _fail(message: str) -> None:
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"[bold red]error[/]: {_plain(message)}")
    sys.exit(1)


def _plain(message: str) -> str:
    return message.replace("[", r"\[")
