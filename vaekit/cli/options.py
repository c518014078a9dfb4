"""The arguments and options that several commands share."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vaekit.cli import completion
from vaekit.cli.csv_options import in_file
from vaekit.cli.output import set_json, set_quiet
from vaekit.cli.panels import DEVICE, GENERAL, INPUT, LABELS, OUTPUT, SCORING
from vaekit.errors import ConfigError, InputError

if TYPE_CHECKING:
    from vaekit.bundle.manifest import Manifest
    from vaekit.tabular.csv_text import CsvDialect
    from vaekit.tolerance_rules import ToleranceRule

ModelName = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="name, name@version, or path of a bundle", autocompletion=completion.models),
]
FORMATS = ".csv, .parquet, .arrow, .feather, .npy, an image (.png, .jpg), or a folder of .parquet or of images"
RowsPath = Annotated[Path, typer.Argument(metavar="DATA", help=f"rows: {FORMATS}")]
Models = Annotated[Path, typer.Option(help="folder of models", rich_help_panel=INPUT)]
Device = Annotated[
    str, typer.Option(help="device of the model: auto, cpu, cuda or cuda:<index>", rich_help_panel=DEVICE)
]
BatchRows = Annotated[
    int | None, typer.Option(min=1, help="rows per batch; default: 2^20 cells", rich_help_panel=DEVICE)
]
Anomaly = Annotated[
    list[str] | None,
    typer.Option(help="label value that means anomaly; repeatable; default: 1", rich_help_panel=LABELS),
]
LabelFolder = Annotated[
    bool,
    typer.Option(
        "--label-folder",
        help="the label of an image is the first subfolder in its path; for a folder of images",
        rich_help_panel=LABELS,
    ),
]
Ignore = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help=".toml or .json file of tolerance rules: by column, deviations that are not worth an alarm; default: the "
        "model's rules",
        rich_help_panel=SCORING,
    ),
]
AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        callback=set_json,
        help="one JSON document on stdout instead of text, also for an error",
        rich_help_panel=OUTPUT,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        callback=set_quiet,
        help="only the result and errors: no progress, remarks or warnings",
        rich_help_panel=GENERAL,
    ),
]


def rules_of(ignore: Path | None) -> dict[str, ToleranceRule] | None:
    """The tolerance rules of a file; None: the model's.

    Raises:
        InputError: the file is unreadable, or a rule is invalid.
    """
    from vaekit.scoring.files.rules_file import read_rules

    return None if ignore is None else read_rules(ignore)


def in_use(manifest: Manifest, model_folder: Path) -> str:
    """What a new version changes for commands and services, and how to keep to the version before it."""
    from vaekit.bundle.models_folder import latest
    from vaekit.bundle.policy import read_policy

    name, version = manifest.name, manifest.version
    pinned = read_policy(model_folder).pinned
    if pinned is not None:
        return f"{name} stays pinned to {name}@{pinned}; vae models pin {name}@{version} chooses the new version"
    newest = latest(model_folder.parent, name)
    if newest is not None and newest > version:
        return f"{name} still means {name}@{newest}, which is newer than {name}@{version}"
    said = (
        f"{name} now means {name}@{version}: every `vae score {name}`, every other command and running services of "
        "this folder use it"
    )
    if version == 1:
        return said
    parent = manifest.provenance.parent or f"{name}@{version - 1}"
    over_http = f"/models/{parent.replace('@', '/versions/')}"
    return (
        f"{said}\nto use the version before it: write {parent} (over HTTP {over_http})\nto go back for good: "
        f"vae models pin {parent}, or vae models remove {name}@{version}"
    )


def beside(models: Path) -> str:
    """--models for the next command, unless it is the default."""
    return "" if models == Path("models") else f" --models {shlex.quote(str(models))}"


def setting(key: str, value: Any) -> str:
    """A value of a training config as --set writes it."""
    return f"{key}={json.dumps(value, ensure_ascii=False)}"


def image_settings(resize: str | None) -> list[str]:
    """The settings of a training config that --resize stands for.

    Raises:
        ConfigError: a size that is neither a number nor WIDTHxHEIGHT.
    """
    if resize is None:
        return []
    width, _, height = resize.lower().partition("x")
    if not (width.isdecimal() and (height or width).isdecimal()):
        raise ConfigError(f"--resize {resize}: expected WIDTHxHEIGHT in pixels, such as 64x48, or one number")
    return [f"data.resize=[{int(width)}, {int(height or width)}]"]


def label_of(label: str | None, label_folder: bool) -> str | None:
    """The label that the options name; None: no labels.

    Raises:
        InputError: both ways to name a label.
    """
    if label_folder and label is not None:
        raise InputError("--label-folder: the label of an image is its subfolder; leave out --label")
    return "folder" if label_folder else label


OF_COLUMNS = ("the input lacks ", "unknown feature ", "column ", "duplicate column name")  # how their errors begin


@contextmanager
def naming(source: Path | str, hint: str = "", csv: CsvDialect | None = None) -> Iterator[None]:
    """Put the name of the input before an error about a row or a column.

    Behind an error about a row come the line of a .csv file and a hint.
    """
    try:
        yield
    except InputError as exc:
        if str(exc).startswith(OF_COLUMNS):
            raise type(exc)(f"{source}: {exc}") from exc
        if not str(exc).startswith("row "):
            raise
        raise type(exc)(f"{source}: {exc}{in_file(str(exc), source, csv)}{hint}") from exc


def make_folder(folder: Path) -> None:
    """Make the folder of --out. Called first, so that an invalid path fails before anything is read.

    Raises:
        InputError: it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise InputError(f"{folder}: the folder cannot be created: {exc.strerror}") from exc
