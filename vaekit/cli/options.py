"""The arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vaekit.cli.panels import DEVICE, INPUT, LABELS, OUTPUT

if TYPE_CHECKING:
    from vaekit.bundle.manifest import Manifest

ModelName = Annotated[str, typer.Argument(help="name, name@version, or path of a bundle")]
Rows = Annotated[Path, typer.Argument(help="rows: .csv, .parquet, .arrow, .feather, .npy, or a folder of .parquet")]
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
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout instead of text", rich_help_panel=OUTPUT)]


def in_use(manifest: Manifest) -> str:
    """What a new version changes for later commands, and how to keep to the version before it."""
    name, version = manifest.name, manifest.version
    said = f"{name} now means {name}@{version}, in every command and in a service that is started from now on"
    if version == 1:
        return said
    parent = manifest.provenance.parent or f"{name}@{version - 1}"
    return f"{said}; write {parent} to keep to the version before it (over HTTP /models/{parent.replace('@', '/versions/')})"
