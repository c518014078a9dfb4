"""Infers a training config from a data file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit.tabular.csv_lines import SHOWN_ROWS, other_delimiter, reading
from vaekit_training.config import make_config, parse_overrides, slug
from vaekit_training.data.cells import reads_as_number
from vaekit_training.data.looks import (
    LEFT_OUT,
    Content,
    content_of,
    excluding,
    formatted,
    identifies,
    label_remarks,
    left_out,
)
from vaekit_training.data.preview import Preview, preview
from vaekit_training.data.refusals import refuse_other_notation, refuse_stray_text
from vaekit_training.recipe import AUTO, KERNEL, asks_for_networks, of_images
from vaekit_training.sections import DataConfig

GIVEN_KEYS = (  # keys of [data] that inference reads
    "source",
    "read",
    "label",
    "split",
    "window",
    "stride",
    "time",
    "series_column",
    "gap",
    "exclude",
    "id",
    "resize",
    "kinds",
    "missing_values",
    "delimiter",
    "decimal",
    "thousands",
)
MANY = 50  # a category with more levels than this gets a remark,
ROWS_PER_LEVEL = 20  # if it has fewer rows per level than this


@dataclass(frozen=True)
class Inferred:
    """Remarks on the columns from which a config was inferred."""

    remarks: list[str]  # choices that were made
    warnings: list[str]  # columns that were left out (except a file's index, which loading reports), and oddities


def infer(source: str, asked: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], list[str]]:
    """The config as nested tables, and remarks that explain the choices and report suspicious columns.

    Images get a gaussian likelihood of their values 0 to 255 with recipe.IMAGES, or a bernoulli one if all are 0 or
    255. Tables get the default recipe, see `default_recipe`. Missing cells are marginalised.

    Args:
        source: a file, folder or built-in dataset.
        asked: settings that are already given, as nested tables. A given data.missing, or likelihood.name other than
            'auto', is not inferred. The result's data.exclude contains the given one and the columns left out here.
            The given label and split columns are not modelled. Columns in the given data.kinds are not left out.

    Raises:
        InputError: the source is unknown or unreadable, a column that the settings name does not exist, or cells of a
            column of numbers are text.
        ConfigError: a value in asked.data is invalid.
    """
    data = given_data(source, asked)
    tree: dict[str, Any] = {"name": slug(Path(source).stem), "data": {"source": source}}
    found = preview(data)
    if found.images is not None:
        return tree, infer_images(found.images, tree, asked) + _classes(found, data)
    inferred = infer_columns(found, data, tree, asked)
    remarks = inferred.remarks + inferred.warnings
    if data.label is None:
        left_out = tree["data"].get("exclude", ())
        remarks += label_remarks({name: cells for name, cells in found.columns.items() if name not in left_out})
    return tree, remarks


def infer_columns(
    found: Preview, data: DataConfig, tree: dict[str, Any], asked: Mapping[str, Any] | None = None
) -> Inferred:
    """Fill in data, likelihood and prior for columns, unless they were given. `vae train` and Detector.fit call it.

    Args:
        found: the columns.
        data: settings given for them.
        tree: the config to fill in; its data.exclude gets the columns that are left out.
        asked: as in `infer`.

    Raises:
        InputError: cells of a column of numbers are text, or no column is left to model.
    """
    in_file = data.source != "memory"
    is_csv = data.source.lower().endswith(".csv")
    for name, values in found.columns.items():
        if data.kinds.get(name) != "category":
            refuse_stray_text(data.source, name, values, is_csv=is_csv)
    numbers = {name: values for name, values in found.columns.items() if data.kinds.get(name) != "category"}
    refuse_other_notation(numbers, data.source, is_csv=is_csv)
    contents: dict[str, Content] = dict.fromkeys(found.index, "index")
    for name, values in found.columns.items():
        contents[name] = content_of(name, values, has_values=name in found.with_values)
    kept = {name: content for name, content in contents.items() if content not in LEFT_OUT or name in data.kinds}
    if not kept:  # there must be something to model
        kept = {name: content for name, content in contents.items() if content == "id"}
    dropped = [name for name in contents if name not in kept]
    other = other_delimiter(list(found.columns), data.delimiter) if is_csv and not data.kinds else None
    if other is not None and set(contents.values()) & {"name", "category"}:
        only, cells = next(iter(found.columns.items()))
        lines = map(str, cells[:SHOWN_ROWS].tolist())
        raise InputError(f"data {data.source!r}: one column, {only!r}; its {reading(other, lines)}")
    if not kept and found.columns and found.rows_read:
        raise InputError(_nothing_left(found, data, contents, is_csv=is_csv))
    if excluded := [*data.exclude, *(name for name in dropped if name not in found.index)]:
        tree["data"]["exclude"] = excluded
    ids = [name for name in dropped if contents[name] in ("id", "name") and identifies(name, found.columns[name])]
    if ids and in_file and data.read == "memory" and data.id is None:
        tree["data"]["id"] = ids[0]
    remarks: list[str] = []
    if found.rows_read < found.total_rows:
        remarks.append(f"inferred from the first {found.rows_read} of {found.total_rows} rows")
    if not is_chosen(asked):
        remarks += _likelihood(kept, tree, asked)
    gaps = [name for name in kept if name in found.with_missing]
    if (gaps or data.missing_values) and "missing" not in section(asked, "data"):
        tree["data"]["missing"] = "marginalise"
    if gaps and "missing" not in section(asked, "data"):
        remarks.append(f"missing cells are left out of the ELBO (data.missing = 'marginalise'): {', '.join(gaps)}")
    by_content = {content: [name for name in dropped if contents[name] == content] for content in LEFT_OUT}
    warnings = [
        left_out(content, names, data.source)
        for content, names in by_content.items()
        if names and (content != "index" or not in_file)
    ]
    warnings += _suspicious(found, data.source, is_csv=is_csv, kept=kept, dropped=by_content["name"])
    return Inferred(remarks, warnings)


def infer_images(images: NDArray[np.uint8], tree: dict[str, Any], asked: Mapping[str, Any] | None = None) -> list[str]:
    """Fill in the settings for images (N, H, W, C), unless the likelihood is chosen; returns remarks. See infer."""
    return _images(images, tree, asked)


def default_recipe(contents: Mapping[str, Content]) -> tuple[str, str]:
    """(the likelihood of a table whose columns have these contents, the remark on it).

    Tables with text or booleans get 'mixed', and tables of numbers 'auto'.
    """
    if set(contents.values()) & {"category", "name", "boolean"}:
        return "mixed", f"the likelihood is mixed: {_listed(contents)}"
    return AUTO, "columns of numbers: the default recipe, likelihood.name = 'auto'"


def is_chosen(asked: Mapping[str, Any] | None) -> bool:
    """Whether the likelihood was given."""
    return section(asked, "likelihood").get("name", AUTO) != AUTO


def given_data(source: str, asked: Mapping[str, Any] | None) -> DataConfig:
    """The given settings of [data] that inference reads.

    Raises:
        ConfigError: one of them is invalid.
    """
    given = section(asked, "data")
    table = {"source": source, **{key: given[key] for key in GIVEN_KEYS if key in given}}
    return make_config({"name": "given", "data": table, "likelihood": {"name": "mixed"}}).data


def overrides_beside(asked: Mapping[str, Any], given: Sequence[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Given settings as nested tables, without those whose values are already in the inferred tree."""
    taken = {("data", "exclude")} | (set() if is_chosen(asked) else {("likelihood", "name")})
    return {
        name: {key: value for key, value in table.items() if (name, key) not in taken}
        if isinstance(table, Mapping)
        else table
        for name, table in parse_overrides(given).items()
    }


def section(asked: Mapping[str, Any] | None, name: str) -> Mapping[str, Any]:
    """A table of the given settings; empty if it was not given."""
    found = (asked or {}).get(name, {})
    return found if isinstance(found, Mapping) else {}


def _images(images: NDArray[np.uint8], tree: dict[str, Any], asked: Mapping[str, Any] | None) -> list[str]:
    """Fill in likelihood, prior and latent dimensions for images, unless the likelihood was given; returns remarks."""
    count, height, width, channels = images.shape
    two_valued = all(bool(np.isin(image, (0, 255)).all()) for image in images)
    colours = "black and white" if two_valued else {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")
    what = f"{count} images of {width} x {height} pixels (width x height), {colours}"
    if is_chosen(asked):
        return [what]
    name = "bernoulli" if two_valued else "gaussian"
    tree["likelihood"] = {"name": name}
    for section, settings in {} if two_valued else of_images(asked or {}).items():
        tree[section] = {**tree.get(section, {}), **settings}
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


def _nothing_left(found: Preview, data: DataConfig, contents: Mapping[str, Content], *, is_csv: bool) -> str:
    """What to say if there is no column to model, and what to do about it."""
    where = "" if data.source == "memory" else f"data {data.source!r}: "
    by_content = {one: [name for name, content in contents.items() if content == one] for one in LEFT_OUT}
    why = [left_out(content, names, data.source) for content, names in by_content.items() if names]
    hints = _suspicious(found, data.source, is_csv=is_csv, kept={}, dropped=by_content["name"])
    return f"{where}no column is left to model; {'; '.join([*hints, *why])}"


def _suspicious(
    found: Preview, source: str, *, is_csv: bool, kept: Mapping[str, Content], dropped: Sequence[str]
) -> list[str]:
    """Warnings about suspicious columns."""
    said = []
    for name, values in found.columns.items():
        if (values.dtype.kind == "O") and (how := formatted(values, in_file=is_csv)):
            said.append(f"column {name!r} is text that looks like numbers: {how}")
    for name in dropped if not is_csv else ():
        if all(cell is None or reads_as_number(cell) for cell in found.columns[name].tolist()):
            said.append(f"column {name!r} is text that is all numbers: convert it to model it as numbers")
    for name, content in kept.items():
        levels = len(set(found.columns[name].tolist())) if content == "category" else 0
        if levels > MANY and levels * ROWS_PER_LEVEL > found.rows_read:
            said.append(
                f"column {name!r} has {levels} levels in {found.rows_read} rows, few rows for each: if it only names "
                f"the rows, leave it out by {excluding(name, source)}"
            )
    if is_csv and found.columns and all(map(reads_as_number, found.columns)):
        said.append(f"is the header missing? All column names are numbers: {', '.join(list(found.columns)[:5])}")
    return said


def _likelihood(contents: Mapping[str, Content], tree: dict[str, Any], asked: Mapping[str, Any] | None) -> list[str]:
    """Fill in likelihood and prior for columns with these contents; returns remarks."""
    name, remark = default_recipe(contents)
    tree.setdefault("likelihood", {})["name"] = name
    if name != AUTO and not asks_for_networks(asked or {}):
        tree["prior"] = {"name": KERNEL}
        remark += "; the prior is a kernel density"
    return [remark]


def _listed(contents: Mapping[str, Content]) -> str:
    """The categories and binary columns, as text."""
    kinds: dict[str, tuple[Content, ...]] = {"category": ("category", "name"), "binary": ("binary", "boolean")}
    named = {kind: ", ".join(name for name, one in contents.items() if one in of) for kind, of in kinds.items()}
    return "; ".join(f"{kind}: {names}" for kind, names in named.items() if names)
