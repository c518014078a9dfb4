"""Infers a training config from a data file alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit.tabular.cells import spells_missing
from vaekit_training.config import make_config, slug
from vaekit_training.data.cells import MOST_LEVELS, is_missing, reads_as_number, unknown
from vaekit_training.data.glance import Glance, glance
from vaekit_training.sections import DataConfig

NUMBERS = 0.5  # share of numbers among text cells; with more, the other cells are errors
FEW = 10  # levels that a category may have even if there are few rows
FACTS = ("source", "read", "label", "split", "exclude", "resize")  # keys of [data] that inference uses

Look = Literal["number", "binary", "category", "name", "date", "empty", "other"]
LEFT_OUT: dict[Look, str] = {
    "date": "dates",
    "empty": "without a single value",
    "name": f"text that differs in most rows, or has more than {MOST_LEVELS} levels",
    "other": "neither numbers, booleans, text nor dates",
}


def infer(source: str, asked: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], list[str]]:
    """Config tree for a source, and remarks on the choices made.

    Images get a gaussian likelihood of their values 0 to 255, or a bernoulli one if all are 0 or 255. Columns of
    numbers get a gaussian one, columns of 0 and 1 a bernoulli one, columns of several kinds, text included, a mixed
    one. Missing cells are marginalised.

    Args:
        source: a file, folder or built-in dataset.
        asked: settings already given, as nested tables. A likelihood.name or data.missing in it is not inferred; its
            data.exclude is in the tree already, with the columns left out here; its label and key are not modelled.

    Raises:
        InputError: the source is unknown or unreadable.
        ConfigError: a value in asked.data is refused.
    """
    sections = {name: table for name, table in (asked or {}).items() if isinstance(table, Mapping)}
    given, chosen = sections.get("data", {}), "name" in sections.get("likelihood", {})
    facts = {"source": source, **{key: given[key] for key in FACTS if key in given}}
    data = make_config({"name": "asked", "data": facts}).data
    tree: dict[str, Any] = {"name": slug(Path(source).stem), "data": {"source": source}}
    if data.exclude:
        tree["data"]["exclude"] = list(data.exclude)
    found = glance(data)
    if found.pictures is not None:
        return tree, _pictures(found.pictures, tree, chosen) + _classes(found, data)
    kinds = given.get("kinds", {})
    for name, values in found.columns.items():
        if kinds.get(name) != "category":
            _refuse_one_of_few(source, name, values)
    return tree, _columns(found, data, tree, chosen=chosen, missing="missing" in given)


def _refuse_one_of_few(source: str, name: str, values: NDArray[Any]) -> None:
    """Refuse a column of numbers with a few cells of text, which would otherwise become a category or be left out.

    Text cells that are all numbers make a category: postcodes, for example.
    """
    cells = values.tolist() if values.dtype.kind in "OU" else []
    text = [(row, cell) for row, cell in enumerate(cells) if isinstance(cell, str) and cell.strip()]
    bad = [(row, cell) for row, cell in text if not reads_as_number(cell) and not spells_missing(cell)]
    if bad and len(bad) < NUMBERS * len(text):
        row, cell = bad[0]
        raise InputError(
            f"data {source!r}: row {row}, feature {name!r}: not a number: {cell!r}; {len(text) - len(bad)} of the "
            f"column's {len(text)} cells are numbers. Correct it, empty it if the value is missing, or use --set "
            f'data.kinds.{_key(name)}=category or --set data.exclude="[{name!r}]"'
        )


def _key(name: str) -> str:
    """The key as written in TOML."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f"'{name}'"


def _pictures(pictures: NDArray[np.uint8], tree: dict[str, Any], chosen: bool) -> list[str]:
    """Fill in the likelihood for images; returns remarks."""
    count, height, width, channels = pictures.shape
    two_valued = all(bool(np.isin(image, (0, 255)).all()) for image in pictures)
    colours = "black and white" if two_valued else {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")
    what = f"{count} images of {width} x {height} pixels (width x height), {colours}"
    if chosen:
        return [what]
    name = "bernoulli" if two_valued else "gaussian"
    tree["likelihood"] = {"name": name}
    values = "0 and 255" if two_valued else "0 to 255"
    return [f"{what}: the likelihood is {name}, of pixel values {values}"]


def _classes(found: Glance, data: DataConfig) -> list[str]:
    """Remarks on images in subfolders, if no label is set."""
    if not found.classes or data.label is not None:
        return []
    named = ", ".join(found.classes[:5]) + (", ..." if found.classes[5:] else "")
    return [
        f"images lie in the subfolders {named}, and all are taken as normal; if subfolders are classes, use "
        "--label-folder --anomaly FOLDER, or --set data.label=folder"
    ]


def _columns(found: Glance, data: DataConfig, tree: dict[str, Any], *, chosen: bool, missing: bool) -> list[str]:
    """Fill in data and, unless chosen, likelihood for a table; returns remarks."""
    looks = {name: _look(values, name in found.filled) for name, values in found.columns.items()}
    remarks = [f"inferred from the first {found.first} of {found.rows} rows"] if found.first < found.rows else []
    left_out = [name for name in looks if looks[name] in LEFT_OUT]
    if left_out:
        tree["data"]["exclude"] = [*data.exclude, *left_out]
    for look, what in LEFT_OUT.items():
        names = [name for name in left_out if looks[name] == look]
        if names:
            remarks.append(f"columns left out ({what}): {', '.join(names)}")
    only = next(iter(looks)) if len(looks) == 1 else ""
    if other := re.search(r"[;\t|]", only):
        remarks.append(f"one column, {only!r}: if its cells are separated by {other[0]!r}, use commas instead")
    if not chosen:
        remarks += _likelihood({name: look for name, look in looks.items() if look not in LEFT_OUT}, tree)
    gaps = [name for name in looks if name in found.gaps and name not in left_out]
    if gaps and not missing:
        tree["data"]["missing"] = "marginalise"
        remarks.append(f"missing cells are left out of the ELBO (data.missing = 'marginalise'): {', '.join(gaps)}")
    if data.source.lower().endswith(".csv") and all(reads_as_number(name) for name in looks):
        remarks.append(f"no header? The column names are numbers: {', '.join(list(looks)[:5])}")
    if data.label is None:
        remarks.append(
            "every row is taken as normal; if a column marks anomalies, use --set data.label=COLUMN: otherwise the "
            "model learns from anomalies and from that column"
        )
    return remarks


def _likelihood(looks: Mapping[str, Look], tree: dict[str, Any]) -> list[str]:
    """Fill in the likelihood for columns that look like this; returns remarks."""
    kept = set(looks.values())
    if kept == {"binary"}:
        tree["likelihood"] = {"name": "bernoulli"}
        return ["all columns hold 0 and 1: the likelihood is bernoulli"]
    if kept - {"number"}:
        tree["likelihood"] = {"name": "mixed"}
        return [f"the likelihood is mixed: {_listed(looks)}"]
    return []


def _listed(looks: Mapping[str, Look]) -> str:
    """The columns that do not hold numbers, by kind."""
    kinds: tuple[Look, ...] = ("category", "binary")
    named = {kind: ", ".join(name for name, look in looks.items() if look == kind) for kind in kinds}
    return "; ".join(f"{kind}: {names}" for kind, names in named.items() if names)


def _look(values: NDArray[Any], is_filled: bool) -> Look:
    """What a column looks like; is_filled: it has values, in these rows or in others."""
    missing = is_missing(values)
    there = values[~missing]
    if not len(there):
        return "empty" if not is_filled else "number" if values.dtype.kind == "f" else "category"
    if values.dtype.kind in "iuf":
        return "binary" if set(np.unique(there[:FEW])) <= {0, 1} and set(np.unique(there)) == {0, 1} else "number"
    if values.dtype.kind in "Mm":
        return "date"
    if unknown(values, missing) is not None:
        return "other"
    levels = set(there.tolist())
    if all(isinstance(level, bool) for level in levels):
        return "binary"
    return "name" if len(levels) > min(MOST_LEVELS, max(FEW, len(there) // 2)) else "category"
