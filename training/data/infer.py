"""A data file alone -> the config a careful person would start from. Knows columns and kinds; not the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from training.config import slug
from training.data.cells import MOST_LEVELS, is_missing
from training.data.sources import read

FEW = 10  # levels that a column may have however few its rows are

Look = Literal["number", "binary", "category", "name", "date", "empty"]
LEFT_OUT: dict[Look, str] = {
    "date": "dates",
    "empty": "without a single value",
    "name": f"text that differs in most rows, or has more than {MOST_LEVELS} levels",
}


def infer(source: str, *, likelihood: bool = True) -> tuple[dict[str, Any], list[str]]:
    """Config tree for a source, and remarks on what was decided; without `likelihood` that is left to the caller.

    Pictures get a bernoulli likelihood, binarised where they are grey. Columns of numbers get a gaussian one, of 0 and
    1 a bernoulli one, and columns of several kinds, with text among them perhaps, a mixed one. Where cells are missing
    they are marginalised.

    Raises:
        InputError: the source is unknown or unreadable.
    """
    found = read(source)
    tree: dict[str, Any] = {"name": slug(Path(source).stem), "data": {"source": source}}
    if found.pictures is not None:
        if not likelihood:
            return tree, [f"{len(found.pictures)} pictures of {found.pictures.shape[1:]}"]
        two_valued = bool(np.isin(found.pictures, (0, 255)).all())
        tree["likelihood"] = {"name": "bernoulli", "binarize": "none" if two_valued else "threshold"}
        remark = (
            "black and white" if two_valued else "grey: the likelihood is one of pixels binarised at half the range"
        )
        return tree, [f"{len(found.pictures)} pictures of {found.pictures.shape[1:]}, {remark}"]
    return tree, _columns(found.columns, tree, likelihood)


def _columns(columns: dict[str, NDArray[Any]], tree: dict[str, Any], likelihood: bool) -> list[str]:
    """Fill in data and likelihood for a table; the remarks."""
    looks = {name: _look(values) for name, values in columns.items()}
    remarks = []
    left_out = [name for name in columns if looks[name] in LEFT_OUT]
    if left_out:
        tree["data"]["exclude"] = left_out
    for look, what in LEFT_OUT.items():
        names = [name for name in left_out if looks[name] == look]
        if names:
            remarks.append(f"columns left out, {what}: {', '.join(names)}")
    kept = {looks[name] for name in columns if name not in left_out}
    if not likelihood:
        pass
    elif kept == {"binary"}:
        tree["likelihood"] = {"name": "bernoulli"}
        remarks.append("columns of 0 and 1 alone: the likelihood is bernoulli")
    elif kept - {"number"}:
        tree["likelihood"] = {"name": "mixed"}
        remarks.append(f"the likelihood is mixed: {_listed(looks)}")
    gaps = [name for name, values in columns.items() if name not in left_out and is_missing(values).any()]
    if gaps:
        tree["data"]["missing"] = "marginalise"
        remarks.append(f"empty cells are left out of the ELBO (data.missing = 'marginalise'): {', '.join(gaps)}")
    remarks.append(
        "every row is taken as normal; if a column marks anomalies, say --set data.label=COLUMN, since the model would "
        "otherwise learn from it and from them"
    )
    return remarks


def _listed(looks: dict[str, Look]) -> str:
    """The columns that are not of numbers, by kind."""
    kinds: tuple[Look, ...] = ("category", "binary")
    named = {kind: ", ".join(name for name, look in looks.items() if look == kind) for kind in kinds}
    return "; ".join(f"{kind}: {names}" for kind, names in named.items() if names)


def _look(values: NDArray[Any]) -> Look:
    """What a column looks like."""
    there = values[~is_missing(values)]
    if not len(there):
        return "empty"
    if values.dtype.kind in "iuf":
        return "binary" if set(np.unique(there[:FEW])) <= {0, 1} and set(np.unique(there)) == {0, 1} else "number"
    if values.dtype.kind in "Mm":
        return "date"
    levels = set(there.tolist())
    if all(isinstance(level, bool) for level in levels):
        return "binary"
    return "name" if len(levels) > min(MOST_LEVELS, max(FEW, len(there) // 2)) else "category"
