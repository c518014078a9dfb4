"""What the shell offers for an argument: models and versions, configs and data, columns.

Called at every press of a key, so nothing is imported that takes long. Typer's script for zsh evaluates what is
offered, and does not escape a backslash: a column `\\$(command)` would run the command. So names with such characters,
or control characters, are not offered.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import typer

BUILT_IN = ("breast-cancer", "digits")  # datasets of vae train
DATA = (".toml", ".csv", ".parquet", ".npy", ".npz")
UNSAFE = re.compile(r"[\\$`\x00-\x1f\x7f-\x9f]")
MANIFEST = "manifest.json"  # as vaekit.bundle.manifest.MANIFEST_FILE


def models(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of models; after an @, their versions."""
    root = Path(ctx.params.get("models") or "models")
    name, at, _ = incomplete.partition("@")
    if at:
        offered = [f"{name}@{version}" for version in _versions(root / name)]
    else:
        offered = [folder.name for folder in _folders(root) if _versions(folder)]
    return [one for one in offered if one.startswith(incomplete) and not UNSAFE.search(one)]


def names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of models alone."""
    return [] if "@" in incomplete else models(ctx, incomplete)


def training_sources(incomplete: str) -> list[str]:
    """Configs, data files, folders, and the datasets that are built in."""
    folder, _, start = incomplete.rpartition("/")
    found = [name for name in BUILT_IN if name.startswith(incomplete)]
    for path in _entries(Path(folder or ("/" if incomplete.startswith("/") else "."))):
        if path.name.startswith(start) and not path.name.startswith(".") and (path.is_dir() or path.suffix in DATA):
            found.append(f"{folder}/{path.name}" if "/" in incomplete else path.name)
    return [one for one in found if not UNSAFE.search(one)]


def columns(ctx: typer.Context, incomplete: str) -> list[str]:
    """The columns of the .csv file that is named before."""
    source = Path(str(ctx.params.get("source") or ctx.params.get("data") or ""))
    if source.suffix != ".csv":
        return []
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file, delimiter=_delimiter(ctx)), [])
    except (OSError, TypeError, ValueError, csv.Error):
        return []
    return [name for name in header if name.startswith(incomplete) and not UNSAFE.search(name)]


def _delimiter(ctx: typer.Context) -> str:
    delimiter = str(ctx.params.get("delimiter") or ",")
    return "\t" if delimiter == "\\t" else delimiter


def _versions(model: Path) -> list[int]:
    numbers = [folder for folder in _folders(model) if folder.name.isdecimal() and (folder / MANIFEST).is_file()]
    return sorted(int(folder.name) for folder in numbers)


def _folders(root: Path) -> list[Path]:
    return [entry for entry in _entries(root) if entry.is_dir()]


def _entries(root: Path) -> list[Path]:
    try:
        return sorted(root.iterdir())
    except OSError:
        return []
