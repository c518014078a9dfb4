"""Infers a training config from a data file."""

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
from vaekit_training.data.preview import Preview, preview
from vaekit_training.sections import DataConfig

NUMBERS = 0.5  # if more than this share of a column's text cells are numbers, the other cells are errors
FEW = 10  # a column with at most this many levels is a category, even if there are few rows
GIVEN_KEYS = ("source", "read", "label", "split", "exclude", "resize")  # keys of [data] that inference reads

Content = Literal["number", "binary", "category", "name", "date", "empty", "other"]
LEFT_OUT: dict[Content, str] = {
    "date": "dates",
    "empty": "no values",
    "name": f"text that differs in most rows, or has more than {MOST_LEVELS} levels",
    "other": "cells that are not numbers, booleans, text or dates",
}


def infer(source: str, asked: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], list[str]]:
    """The config as nested tables, and remarks that explain the choices.

    Images get a gaussian likelihood of their values 0 to 255, or a bernoulli one if all are 0 or 255. Columns of
    numbers get a gaussian likelihood, columns of 0 and 1 a bernoulli one, and columns of several kinds, including text,
    a mixed one. Missing cells are marginalised.

    Args:
        source: a file, folder or built-in dataset.
        asked: settings that are already given, as nested tables. A given likelihood.name or data.missing is not
            inferred. The result's data.exclude contains the given one and the columns left out here. The given label
            and split columns are not modelled.

    Raises:
        InputError: the source is unknown or unreadable, or a few cells of a column of numbers are text.
        ConfigError: a value in asked.data is invalid.
    """
    sections = {name: table for name, table in (asked or {}).items() if isinstance(table, Mapping)}
    given, chosen = sections.get("data", {}), "name" in sections.get("likelihood", {})
    table = {"source": source, **{key: given[key] for key in GIVEN_KEYS if key in given}}
    data = make_config({"name": "given", "data": table}).data
    tree: dict[str, Any] = {"name": slug(Path(source).stem), "data": {"source": source}}
    if data.exclude:
        tree["data"]["exclude"] = list(data.exclude)
    found = preview(data)
    if found.images is not None:
        return tree, _images(found.images, tree, chosen) + _classes(found, data)
    kinds = given.get("kinds", {})
    for name, values in found.columns.items():
        if kinds.get(name) != "category":
            _refuse_stray_text(source, name, values)
    return tree, _columns(found, data, tree, chosen=chosen, missing="missing" in given)


def _refuse_stray_text(source: str, name: str, values: NDArray[Any]) -> None:
    """Refuse a column of numbers with a few cells of text; otherwise it would become a category or be left out.

    A column whose text cells are all numbers is allowed as a category, such as postcodes.
    """
    cells = values.tolist() if values.dtype.kind in "OU" else []
    text = [(row, cell) for row, cell in enumerate(cells) if isinstance(cell, str) and cell.strip()]
    bad = [(row, cell) for row, cell in text if not reads_as_number(cell) and not spells_missing(cell)]
    if bad and len(bad) < NUMBERS * len(text):
        row, cell = bad[0]
        raise InputError(
            f"data {source!r}: row {row}, feature {name!r}: not a number: {cell!r}; {len(text) - len(bad)} of the "
            f"column's {len(text)} text cells are numbers. Correct the cell, empty it if the value is missing, or use "
            f'--set data.kinds.{_key(name)}=category or --set data.exclude="[{name!r}]"'
        )


def _key(name: str) -> str:
    """A key in TOML syntax, quoted if necessary."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f"'{name}'"


def _images(images: NDArray[np.uint8], tree: dict[str, Any], chosen: bool) -> list[str]:
    """Fill in the likelihood for images, unless it was given; returns remarks."""
    count, height, width, channels = images.shape
    two_valued = all(bool(np.isin(image, (0, 255)).all()) for image in images)
    colours = "black and white" if two_valued else {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")
    what = f"{count} images of {width} x {height} pixels (width x height), {colours}"
    if chosen:
        return [what]
    name = "bernoulli" if two_valued else "gaussian"
    tree["likelihood"] = {"name": name}
    values = "0 and 255" if two_valued else "0 to 255"
    return [f"{what}: the likelihood is {name}, of pixel values {values}"]


def _classes(found: Preview, data: DataConfig) -> list[str]:
    """Remarks on images in subfolders, if no label is set."""
    if not found.classes or data.label is not None:
        return []
    named = ", ".join(found.classes[:5]) + (", ..." if found.classes[5:] else "")
    return [
        f"images lie in the subfolders {named}, and all are taken as normal; if subfolders are classes, use "
        "--label-folder --anomaly FOLDER, or --set data.label=folder"
    ]


def _columns(found: Preview, data: DataConfig, tree: dict[str, Any], *, chosen: bool, missing: bool) -> list[str]:
    """Fill in data and likelihood for columns, unless they were given; returns remarks.

    Args:
        found: the columns.
        data: settings given for them.
        tree: the config to fill in.
        chosen: whether the likelihood was given.
        missing: whether data.missing was given.
    """
    contents = {name: _content(values, name in found.with_values) for name, values in found.columns.items()}
    remarks: list[str] = []
    if found.rows_read < found.total_rows:
        remarks.append(f"inferred from the first {found.rows_read} of {found.total_rows} rows")
    left_out = [name for name in contents if contents[name] in LEFT_OUT]
    if left_out:
        tree["data"]["exclude"] = [*data.exclude, *left_out]
    for content, what in LEFT_OUT.items():
        names = [name for name in left_out if contents[name] == content]
        if names:
            remarks.append(f"columns left out ({what}): {', '.join(names)}")
    only = next(iter(contents)) if len(contents) == 1 else ""
    if other := re.search(r"[;\t|]", only):
        remarks.append(f"only one column, {only!r}: if {other[0]!r} separates its cells, replace it by commas")
    if not chosen:
        remarks += _likelihood({name: content for name, content in contents.items() if content not in LEFT_OUT}, tree)
    gaps = [name for name in contents if name in found.with_missing and name not in left_out]
    if gaps and not missing:
        tree["data"]["missing"] = "marginalise"
        remarks.append(f"missing cells are left out of the ELBO (data.missing = 'marginalise'): {', '.join(gaps)}")
    if data.source.lower().endswith(".csv") and all(reads_as_number(name) for name in contents):
        remarks.append(f"is the header missing? All column names are numbers: {', '.join(list(contents)[:5])}")
    if data.label is None:
        remarks.append(
            "all rows are treated as normal; if a column marks anomalies, use --set data.label=COLUMN: otherwise the "
            "model is trained on the anomalies and on that column"
        )
    return remarks


def _likelihood(contents: Mapping[str, Content], tree: dict[str, Any]) -> list[str]:
    """Fill in the likelihood for columns with these contents; returns remarks."""
    kept = set(contents.values())
    if kept == {"binary"}:
        tree["likelihood"] = {"name": "bernoulli"}
        return ["all columns hold 0 and 1: the likelihood is bernoulli"]
    if kept - {"number"}:
        tree["likelihood"] = {"name": "mixed"}
        return [f"the likelihood is mixed: {_listed(contents)}"]
    return []


def _listed(contents: Mapping[str, Content]) -> str:
    """The categories and binary columns, as text."""
    kinds: tuple[Content, ...] = ("category", "binary")
    named = {kind: ", ".join(name for name, content in contents.items() if content == kind) for kind in kinds}
    return "; ".join(f"{kind}: {names}" for kind, names in named.items() if names)


def _content(values: NDArray[Any], is_filled: bool) -> Content:
    """The content of a column, inferred from its cells; is_filled: whether it may have values in any row."""
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
