"""`vae upgrade`: shows what training a model again with this version would bring."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table

from vaekit.cli.options import AsJson, ModelName, Models, Quiet
from vaekit.cli.output import print_json, suggest
from vaekit.cli.panels import examples

if TYPE_CHECKING:
    from vaekit.bundle.manifest import Manifest

WIDE = 160  # characters per line of the table if stdout is a file or a pipe
EXAMPLES = examples("vae upgrade breast-cancer", "vae upgrade breast-cancer@1 --json")


def upgrade(model: ModelName, models: Models = Path("models"), as_json: AsJson = False, _quiet: Quiet = False) -> None:
    """Show what training a model again with this version would bring; nothing is changed."""
    from vaekit.bundle import open_bundle
    from vaekit.scoring import locate

    folder = locate(model, models)
    with open_bundle(folder) as bundle:
        found = _tree(bundle.manifest, folder)
    if as_json:
        print_json(found)
        return
    _show(found)
    if found["changes"] and found["command"]:
        suggest(found["command"])


def _tree(manifest: Manifest, folder: Path) -> dict[str, Any]:
    from vaekit.bundle.manifest import FORMAT
    from vaekit.bundle.upgrade import changes

    return {
        "model": f"{manifest.name}@{manifest.version}",
        "format": manifest.format,
        "newest_format": FORMAT,
        "changes": [asdict(change) for change in changes(manifest)],
        "command": _command(manifest, folder),
    }


def _command(manifest: Manifest, folder: Path) -> str | None:
    """The command that trains the model again; None if its rows came from Python or it has no config."""
    config = folder / "config.toml"
    if manifest.provenance.data in (None, "memory") or not config.is_file():
        return None
    return f"vae train {config} --models {folder.parent.parent}"


def _show(found: dict[str, Any]) -> None:
    model, has, newest = found["model"], found["format"], found["newest_format"]
    if not found["changes"]:
        typer.echo(f"{model}: nothing to upgrade: it has all that bundles of format {newest} have")
        return
    table = Table(title=f"{model}, format {has}: what a new bundle has (format {newest})", title_justify="left")
    table.add_column("topic", no_wrap=True)
    table.add_column("now")
    table.add_column("after")
    table.add_column("by", no_wrap=True)
    for change in found["changes"]:
        table.add_row(change["topic"], change["now"], change["after"], change["by"])
    console = Console(highlight=False, markup=False, soft_wrap=False)
    if not console.is_terminal:
        console.width = WIDE
    console.print(table)
    again = found["command"] or "its rows came from Python: call vaekit_training.run.train, or Detector.fit, with them"
    typer.echo(f"train again: {again}")
    typer.echo("Scores of the new bundle differ: compare its p-values, not its scores, with earlier ones.")
