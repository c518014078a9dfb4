"""A training config inferred from a data file alone."""

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

NUMBERS = 0.5  # share of text that is no number, below which a column is one of numbers with bad cells
FEW = 10  # levels that a column may have however few its rows are
FACTS = ("source", "read", "label", "split", "exclude")  # of [data], that inference heeds

Look = Literal["number", "binary", "category", "name", "date", "empty", "other"]
LEFT_OUT: dict[Look, str] = {
    "date": "dates",
    "empty": "without a single value",
    "name": f"text that differs in most rows, or has more than {MOST_LEVELS} levels",
    "other": "neither numbers, booleans, text nor dates",
}


def infer(source: str, asked: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], list[str]]:
    """Config tree for a source, and remarks on what was decided.

    Pictures get a bernoulli likelihood, binarised where they are grey. Columns of numbers get a gaussian one, of 0 and
    1 a bernoulli one, and columns of several kinds, with text among them perhaps, a mixed one. Where cells are missing
    they are marginalised.

    Args:
        source: a file, folder or built-in set.
        asked: what the config will have besides, as nested tables: a likelihood.name or data.missing in it is not
            decided here; its data.exclude is in the tree already, with what is left out; its label and key do not
            count as columns.

    Raises:
        InputError: the source is unknown or unreadable.
        ConfigError: a value in asked.data that is refused.
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
        return tree, _pictures(found.pictures, tree, chosen)
    kinds = given.get("kinds", {})
    for name, values in found.columns.items():
        if kinds.get(name) != "category":
            _refuse_one_of_few(source, name, values)
    return tree, _columns(found, data, tree, chosen=chosen, missing="missing" in given)


def _refuse_one_of_few(source: str, name: str, values: NDArray[Any]) -> None:
    """Refuse a column of numbers but for some cells of text, which would make it one of levels, or have it left out.

    Text that is of numbers alone is taken for names: of places, say, by their codes.
    """
    cells = values.tolist() if values.dtype.kind in "OU" else []
    text = [(row, cell) for row, cell in enumerate(cells) if isinstance(cell, str) and cell.strip()]
    odd = [(row, cell) for row, cell in text if not reads_as_number(cell) and not spells_missing(cell)]
    if odd and len(odd) < NUMBERS * len(text):
        row, cell = odd[0]
        raise InputError(
            f"data {source!r}: row {row}, feature {name!r}: not a number: {cell!r}; {len(text) - len(odd)} of the "
            f"column's {len(text)} cells are. Mend it, empty the cell where the value is missing, or say --set "
            f'data.kinds.{_key(name)}=category, or --set data.exclude="[{name!r}]"'
        )


def _key(name: str) -> str:
    """As TOML has it."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f"'{name}'"


def _pictures(pictures: NDArray[np.uint8], tree: dict[str, Any], chosen: bool) -> list[str]:
    """Fill in the likelihood; the remarks."""
    what = f"{len(pictures)} pictures of {pictures.shape[1:]}"
    if chosen:
        return [what]
    two_valued = all(bool(np.isin(picture, (0, 255)).all()) for picture in pictures)
    tree["likelihood"] = {"name": "bernoulli", "binarize": "none" if two_valued else "threshold"}
    grey = "grey: the likelihood is one of pixels binarised at half the range"
    return [f"{what}, {'black and white' if two_valued else grey}"]


def _columns(found: Glance, data: DataConfig, tree: dict[str, Any], *, chosen: bool, missing: bool) -> list[str]:
    """Fill in data and, unless chosen, likelihood for a table; the remarks."""
    looks = {name: _look(values, name in found.filled) for name, values in found.columns.items()}
    remarks = [f"decided by the first {found.first} rows, of {found.rows}"] if found.first < found.rows else []
    left_out = [name for name in looks if looks[name] in LEFT_OUT]
    if left_out:
        tree["data"]["exclude"] = [*data.exclude, *left_out]
    for look, what in LEFT_OUT.items():
        names = [name for name in left_out if looks[name] == look]
        if names:
            remarks.append(f"columns left out, {what}: {', '.join(names)}")
    only = next(iter(looks)) if len(looks) == 1 else ""
    if other := re.search(r"[;\t|]", only):
        remarks.append(f"one column, {only!r}: is {other[0]!r} between its cells? Commas are what is read so")
    if not chosen:
        remarks += _likelihood({name: look for name, look in looks.items() if look not in LEFT_OUT}, tree)
    gaps = [name for name in looks if name in found.gaps and name not in left_out]
    if gaps and not missing:
        tree["data"]["missing"] = "marginalise"
        remarks.append(f"empty cells are left out of the ELBO (data.missing = 'marginalise'): {', '.join(gaps)}")
    if data.source.lower().endswith(".csv") and all(reads_as_number(name) for name in looks):
        remarks.append(f"no header? The names of the columns are numbers: {', '.join(list(looks)[:5])}")
    if data.label is None:
        remarks.append(
            "every row is taken as normal; if a column marks anomalies, say --set data.label=COLUMN, since the model "
            "would otherwise learn from it and from them"
        )
    return remarks


def _likelihood(looks: Mapping[str, Look], tree: dict[str, Any]) -> list[str]:
    """Fill in the likelihood of columns of such looks; the remarks."""
    kept = set(looks.values())
    if kept == {"binary"}:
        tree["likelihood"] = {"name": "bernoulli"}
        return ["columns of 0 and 1 alone: the likelihood is bernoulli"]
    if kept - {"number"}:
        tree["likelihood"] = {"name": "mixed"}
        return [f"the likelihood is mixed: {_listed(looks)}"]
    return []


def _listed(looks: Mapping[str, Look]) -> str:
    """The columns that are not of numbers, by kind."""
    kinds: tuple[Look, ...] = ("category", "binary")
    named = {kind: ", ".join(name for name, look in looks.items() if look == kind) for kind in kinds}
    return "; ".join(f"{kind}: {names}" for kind, names in named.items() if names)


def _look(values: NDArray[Any], is_filled: bool) -> Look:
    """What a column looks like; is_filled: it has values, among these or others."""
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
