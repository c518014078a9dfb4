"""Infers a training config from a data file alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit.tabular.cells import is_missing as is_missing_cell
from vaekit.tabular.cells import spells_missing
from vaekit_training.config import make_config, slug
from vaekit_training.data.cells import reads_as_number
from vaekit_training.data.glance import Glance, glance
from vaekit_training.data.looks import LEFT_OUT, NUMBERS, Look, formatted, left_out, look, toml_key
from vaekit_training.recipe import AUTO
from vaekit_training.sections import DataConfig

FACTS = ("source", "read", "label", "split", "exclude", "kinds", "delimiter", "decimal", "thousands")  # of [data]
MANY = 50  # levels of a category that are remarked on
ROWS_PER_LEVEL = 20  # and only with fewer rows for each than this


@dataclass(frozen=True)
class Inferred:
    """What to say about the columns that a config tree was made for."""

    remarks: list[str]  # choices that were made
    warnings: list[str]  # columns that were left out (of a file's index, loading says so), and what looks wrong


def infer(source: str, asked: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], list[str]]:
    """Config tree for a source, and remarks on the choices made and on what looks wrong.

    Images get a bernoulli likelihood, binarised if they are grey. Tables get the default recipe, see `default_recipe`.
    Missing cells are marginalised.

    Args:
        source: a file, folder or built-in dataset.
        asked: settings already given, as nested tables. A data.missing or a likelihood.name other than 'auto' in it is
            not inferred; its data.exclude is in the tree already, with the columns left out here; its label and key are
            not modelled; columns that its data.kinds names are not left out.

    Raises:
        InputError: the source is unknown or unreadable.
        ConfigError: a value in asked.data is refused.
    """
    data = data_asked(source, asked)
    tree: dict[str, Any] = {"name": slug(Path(source).stem), "data": {"source": source}}
    found = glance(data)
    if found.pictures is not None:
        return tree, _pictures(found.pictures, tree, is_chosen(asked))
    inferred = infer_columns(found, data, tree, asked)
    remarks = inferred.remarks + inferred.warnings
    if data.label is None:
        remarks.append(
            "every row is taken as normal; if a column marks anomalies, use --set data.label=COLUMN: otherwise the "
            "model learns from anomalies and from that column"
        )
    return tree, remarks


def infer_columns(
    found: Glance, data: DataConfig, tree: dict[str, Any], asked: Mapping[str, Any] | None = None
) -> Inferred:
    """Fill in data and, unless chosen, likelihood for a table, in `tree`; `vae train` and Detector.fit both call it.

    Args:
        found: the columns.
        data: settings already given.
        tree: of the config; its data.exclude gets the columns that are left out.
        asked: as in infer.

    Raises:
        InputError: a column of numbers with a few cells of text.
    """
    in_file = data.source != "memory"
    is_csv = data.source.lower().endswith(".csv")
    for name, values in found.columns.items():
        if data.kinds.get(name) != "category":
            _refuse_one_of_few(data.source, name, values, is_csv=is_csv)
    looks: dict[str, Look] = dict.fromkeys(found.index, "index")
    looks |= {name: look(name, values, is_filled=name in found.filled) for name, values in found.columns.items()}
    kept = {name: one for name, one in looks.items() if one not in LEFT_OUT or name in data.kinds}
    if not kept:  # there must be something to model
        kept = {name: one for name, one in looks.items() if one == "id"}
    dropped = [name for name in looks if name not in kept]
    if excluded := [*data.exclude, *(name for name in dropped if name not in found.index)]:
        tree["data"]["exclude"] = excluded
    remarks = [f"inferred from the first {found.first} of {found.rows} rows"] if found.first < found.rows else []
    if not is_chosen(asked):
        remarks += _likelihood(kept, tree)
    gaps = [name for name in kept if name in found.gaps]
    if gaps and "missing" not in section(asked, "data"):
        tree["data"]["missing"] = "marginalise"
        remarks.append(f"missing cells are left out of the ELBO (data.missing = 'marginalise'): {', '.join(gaps)}")
    said = {one: [name for name in dropped if looks[name] == one] for one in LEFT_OUT}
    warnings = [left_out(one, names) for one, names in said.items() if names and (one != "index" or not in_file)]
    warnings += _odd(found, is_csv=is_csv, kept=kept, dropped=[name for name in dropped if looks[name] == "name"])
    return Inferred(remarks, warnings)


def default_recipe(looks: Mapping[str, Look]) -> tuple[str, str]:
    """(the likelihood of a table whose columns look like this, the remark on it).

    Text and booleans make 'mixed', columns of 0 and 1 alone 'bernoulli', and all other numbers 'auto'.
    """
    kept = set(looks.values())
    if kept <= {"binary", "boolean"}:
        return "bernoulli", "all columns hold 0 and 1: the likelihood is bernoulli"
    if kept & {"category", "name", "boolean"}:
        return "mixed", f"the likelihood is mixed: {_kinds(looks)}"
    return AUTO, "the likelihood is student_t, with the settings of likelihood.name = 'auto'"


def is_chosen(asked: Mapping[str, Any] | None) -> bool:
    """Whether the likelihood is given."""
    return section(asked, "likelihood").get("name", AUTO) != AUTO


def data_asked(source: str, asked: Mapping[str, Any] | None) -> DataConfig:
    """The settings of [data] that inference uses.

    Raises:
        ConfigError: one of them is refused.
    """
    given = section(asked, "data")
    facts = {"source": source, **{key: given[key] for key in FACTS if key in given}}
    return make_config({"name": "asked", "data": facts, "likelihood": {"name": "mixed"}}).data


def overrides_beside(asked: Mapping[str, Any], overrides: Sequence[str]) -> list[str]:
    """The overrides without those whose values the inferred tree has already."""
    taken = {"data.exclude"} | (set() if is_chosen(asked) else {"likelihood.name"})
    return [one for one in overrides if one.partition("=")[0].strip() not in taken]


def section(asked: Mapping[str, Any] | None, name: str) -> Mapping[str, Any]:
    found = (asked or {}).get(name, {})
    return found if isinstance(found, Mapping) else {}


def _refuse_one_of_few(source: str, name: str, values: NDArray[Any], *, is_csv: bool) -> None:
    """Refuse a column of numbers with a few cells of text, which would otherwise become a category or be left out.

    Text cells that are all numbers make a category: postcodes, for example.
    """
    cells = values.tolist() if values.dtype.kind in "OU" else []
    there = [(row, cell) for row, cell in enumerate(cells) if not is_missing_cell(cell)]
    bad = [(row, cell) for row, cell in there if isinstance(cell, str) and not reads_as_number(cell)]
    if is_csv:
        bad = [(row, cell) for row, cell in bad if not spells_missing(cell)]
    if bad and len(bad) < NUMBERS * len(there):
        row, cell = bad[0]
        numbers = sum(reads_as_number(cell) for _, cell in there)
        where = "" if source == "memory" else f"data {source!r}: "
        raise InputError(
            f"{where}row {row}, feature {name!r}: not a number: {cell!r}; {numbers} of the "
            f"column's {len(there)} cells are numbers. Correct it, empty it if the value is missing, or use --set "
            f'data.kinds.{toml_key(name)}=category or --set data.exclude="[{name!r}]"'
        )


def _pictures(pictures: NDArray[np.uint8], tree: dict[str, Any], chosen: bool) -> list[str]:
    """Fill in the likelihood for images; returns remarks."""
    what = f"{len(pictures)} images of {pictures.shape[1:]}"
    if chosen:
        return [what]
    two_valued = all(bool(np.isin(image, (0, 255)).all()) for image in pictures)
    tree["likelihood"] = {"name": "bernoulli", "binarize": "none" if two_valued else "threshold"}
    grey = "grey: the likelihood is bernoulli, with pixels binarised at half the range"
    return [f"{what}, {'black and white' if two_valued else grey}"]


def _odd(found: Glance, *, is_csv: bool, kept: Mapping[str, Look], dropped: Sequence[str]) -> list[str]:
    """Warnings about columns that look wrong."""
    said = []
    only = next(iter(found.columns)) if len(found.columns) == 1 else ""
    if is_csv and (other := re.search(r"[;\t|]", only)):
        option = f"--set data.delimiter={other[0]!r}"
        said.append(f"one column, {only!r}: if its cells are separated by {other[0]!r}, use {option}")
    for name, values in found.columns.items():
        if (values.dtype.kind == "O") and (how := formatted(values, in_file=is_csv)):
            said.append(f"column {name!r} is text that looks like numbers: {how}")
    for name in dropped if not is_csv else ():
        if all(cell is None or reads_as_number(cell) for cell in found.columns[name].tolist()):
            said.append(f"column {name!r} is text that is all numbers: convert it to model it as numbers")
    for name, one in kept.items():
        levels = len(set(found.columns[name].tolist())) if one == "category" else 0
        if levels > MANY and levels * ROWS_PER_LEVEL > found.first:
            said.append(
                f"column {name!r} has {levels} levels in {found.first} rows, few rows for each: if it only names the "
                f'rows, leave it out by --set data.exclude="[{name!r}]"'
            )
    if is_csv and found.columns and all(map(reads_as_number, found.columns)):
        said.append(f"no header? The column names are numbers: {', '.join(list(found.columns)[:5])}")
    return said


def _likelihood(looks: Mapping[str, Look], tree: dict[str, Any]) -> list[str]:
    """Fill in the likelihood for columns that look like this; returns remarks."""
    name, remark = default_recipe(looks)
    tree.setdefault("likelihood", {})["name"] = name
    return [remark]


def _kinds(looks: Mapping[str, Look]) -> str:
    """The columns that do not hold numbers, by kind."""
    kinds: dict[str, tuple[Look, ...]] = {"category": ("category", "name"), "binary": ("binary", "boolean")}
    named = {kind: ", ".join(n for n, one in looks.items() if one in of) for kind, of in kinds.items()}
    return "; ".join(f"{kind}: {names}" for kind, names in named.items() if names)
