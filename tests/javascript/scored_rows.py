"""Writes bundles, random rows for them, and what Python says about these rows, for the tests of the JavaScript scorer.

The file of one case holds the rows as a caller in another language has them: levels by name, null for a missing cell.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.kinds import as_json, series_columns
from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.bundle.input_spec import Column
from vaekit.runtime import Model
from vaekit.tabular.novelty import novel_names
from vaekit.tabular.series import Ends, Steps, WindowCutter
from vaekit.tabular.windows import read_rows

ALPHAS = (0.01, 0.05, 0.2)
ROWS = 200
_ODD_CELLS = 0.05  # share of the cells of random rows that are replaced, each by one of several odd values


def random_rows(model: Model, seed: int = 0) -> list[Any]:
    """ROWS random rows: draws of the model, some with missing, novel or far cells."""
    x = model.sample(ROWS, seed=seed, observe=True).samples
    if isinstance(model.spec, ImageSpec):
        rng = np.random.default_rng(seed)
        noise = rng.integers(0, 256, x.shape)
        images: list[Any] = np.where(rng.random(len(x))[:, None, None, None] < 0.5, x, noise).astype(int).tolist()
        return images
    rows, columns = as_json(x, model.spec), model.spec.columns
    rng = np.random.default_rng(seed)
    for i, d in np.argwhere(rng.random(x.shape) < _ODD_CELLS).tolist():
        odd = _odd_cells(columns[d], rows[i][d])
        rows[i][d] = odd[rng.integers(len(odd))]
    for i in (2, 3):  # more missing cells than any training row
        rows[i] = [None] * len(columns)
    # every second row by name, in which a missing cell may be left out
    return [_named(row, columns) if i % 2 else row for i, row in enumerate(rows)]


def _named(row: list[Any], columns: Sequence[Column]) -> dict[str, Any]:
    named = zip(columns, row, strict=True)
    return {column.name: cell for column, cell in named if cell is not None or not column.may_be_missing}


def _odd_cells(column: Column, cell: Any) -> list[Any]:
    """Cells that training rows do not have, or rarely."""
    if column.kind == "category":
        return [None, "a level of another model", "", 7, "01", 1.0]
    far = 1e6 if cell is None else 1e3 * cell + 1.0
    return [None, far, -1.5, 0.25, 1e300, True, *column.missing_values]


def _windows(rows: list[Any], model: Model) -> tuple[NDArray[Any], Ends | None]:
    """(rows or windows, where the results of windows go)."""
    found, _ = read_rows(rows, model.spec)
    if not isinstance(found, Steps):
        return found, None
    assert model.spec.window is not None
    cut = WindowCutter(model.spec.window).cut(found)
    return np.ascontiguousarray(cut.x), Ends(cut.ends, cut.total, model.spec.window.needs)


def expected(model: Model, rows: list[Any], ignore: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The fields of Scored in the JavaScript package, from this package.

    Where no window of a series ends, they are None, or an empty list of names. `ignore` has tolerance rules in place of
    those of the bundle.
    """
    x, ends = _windows(rows, model)
    scored, calibration = model.bound_checked(x), model.calibration()
    assert not isinstance(calibration, str)
    verdicts = {alpha: calibration.verdict(scored, alpha) for alpha in ALPHAS}
    first = verdicts[ALPHAS[0]]
    arrays = {
        "elbo": scored.elbo,
        "log_likelihood": scored.log_likelihood,
        "kl": scored.kl,
        "log_evidence": model.elbo_checked(x).log_evidence,
        "p_value": first.p_value,
        "p_value_tail": first.p_value_tail,
        "group": first.group,
        "group_pooled": first.group_pooled,
    }
    novel = None if scored.novel is None else novel_names(x, model.manifest)
    return {
        **{name: _spread(values, ends) for name, values in arrays.items()},
        "novel": novel if novel is None or ends is None else _in_place(novel, ends, []),
        "verdicts": {alpha: _verdict(model, rows, alpha, found, ends, ignore) for alpha, found in verdicts.items()},
    }


def _verdict(
    model: Model, rows: list[Any], alpha: float, found: Any, ends: Ends | None, ignore: Mapping[str, Any] | None
) -> dict[str, Any]:
    if model.tolerances is None and ignore is None:
        return {"is_anomaly": _spread(found.is_anomaly, ends), "tolerated": None}
    tolerated = model.tolerated(rows, alpha=alpha, ignore=ignore).tolist()
    removed = np.array([bool(names) for names in tolerated])
    return {"is_anomaly": (found.is_anomaly & ~removed).tolist(), "tolerated": tolerated}


def _spread(values: NDArray[Any] | None, ends: Ends | None) -> list[Any] | None:
    """Values of rows, or of windows as values of time steps, with None for NaN and where no window ends."""
    if values is None:
        return None
    listed = [None if v != v else v for v in values.tolist()]
    return listed if ends is None else _in_place(listed, ends, None)


def _in_place(values: list[Any], ends: Ends, empty: Any) -> list[Any]:
    at = dict(zip(ends.at.tolist(), values, strict=True))
    return [at.get(step, empty) for step in range(ends.total)]


def write_case(
    folder: Path,
    name: str,
    bundle: Path,
    parts: Sequence[list[Any]] | None = None,
    ignore: Mapping[str, Any] | None = None,
) -> None:
    """Write the file of one bundle into a folder.

    Args:
        folder: where to write it.
        name: of the file.
        bundle: the folder of a version.
        parts: rows of each call; None: random rows by order and by name.
        ignore: tolerance rules in place of those of the bundle; None: those of the bundle.
    """
    with Model.load(bundle, device="cpu") as model:
        if parts is None:
            rows = random_rows(model)
            # a list of lists, and one of objects: a call takes one form
            parts = [[row for row in rows if isinstance(row, kind)] for kind in (list, dict)]
        case = {
            "name": name,
            "folder": str(bundle),
            "ignore": ignore,
            "parts": [{"rows": part, "expected": expected(model, part, ignore)} for part in parts if part],
        }
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(case), encoding="utf-8")


def series_rows(model: Model) -> list[list[Any]]:
    """ROWS time steps of a windowed model by name, and ROWS / 2 windows as nested lists and by name."""
    columns = {name: cells.tolist() for name, cells in series_columns(ROWS // 2, seed=7, gap=60).items()}
    steps = [
        {name: None if cell != cell else cell for name, cell in zip(columns, row, strict=True)}
        for row in zip(*columns.values(), strict=True)
    ]
    steps[30]["mode"], steps[61]["load"] = "a level of another model", 1e6
    window = model.spec.window
    assert isinstance(model.spec, VectorSpec)
    assert window is not None
    x = model.sample(ROWS // 2, seed=0, observe=True).samples.reshape(ROWS // 2, -1)
    rows = as_json(x, model.spec)
    nested = [[row[at : at + window.dim] for at in range(0, len(row), window.dim)] for row in rows[::2]]
    return [steps, nested, [_named(row, model.spec.columns) for row in rows[1::2]]]
