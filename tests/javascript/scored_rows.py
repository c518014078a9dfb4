"""Writes bundles, random rows for them, and what Python says about these rows, for the tests of the JavaScript scorer.

The file of one case holds the rows as a caller in another language has them: levels by name, null for a missing cell.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.kinds import as_json
from vaekit.bundle import ImageSpec
from vaekit.bundle.input_spec import Column
from vaekit.runtime import Model
from vaekit.tabular import encode
from vaekit.tabular.novelty import novel_names

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


def expected(model: Model, rows: list[Any]) -> dict[str, Any]:
    """The fields of Scored in the JavaScript package, from this package."""
    with_evidence, scored = model.elbo(rows), model.bound(rows)
    calibration = model.calibration()
    assert not isinstance(calibration, str)
    verdicts = {alpha: calibration.verdict(scored, alpha) for alpha in ALPHAS}
    first = verdicts[ALPHAS[0]]
    return {
        "elbo": _listed(scored.elbo),
        "log_likelihood": _listed(scored.log_likelihood),
        "kl": _listed(scored.kl),
        "log_evidence": _listed(with_evidence.log_evidence),
        "novel": None if scored.novel is None else novel_names(encode(rows, model.spec), model.manifest),
        "p_value": _listed(first.p_value),
        "p_value_tail": None if first.p_value_tail is None else _listed(first.p_value_tail),
        "group": None if first.group is None else first.group.tolist(),
        "group_pooled": None if first.group_pooled is None else first.group_pooled.tolist(),
        "verdicts": {alpha: _verdict(model, rows, alpha, found) for alpha, found in verdicts.items()},
    }


def _verdict(model: Model, rows: list[Any], alpha: float, found: Any) -> dict[str, Any]:
    if model.tolerances is None:
        return {"is_anomaly": found.is_anomaly.tolist(), "tolerated": None}
    tolerated = model.tolerated(rows, alpha=alpha).tolist()
    removed = np.array([bool(names) for names in tolerated])
    return {"is_anomaly": (found.is_anomaly & ~removed).tolist(), "tolerated": tolerated}


def _listed(values: NDArray[np.float64]) -> list[float | None]:
    return [None if v != v else v for v in values.tolist()]


def write_case(folder: Path, name: str, bundle: Path) -> None:
    """Write the file of one bundle into a folder."""
    with Model.load(bundle, device="cpu") as model:
        rows = random_rows(model)
        # a list of lists, and one of objects: a call takes one form
        parts = [[row for row in rows if isinstance(row, list)], [row for row in rows if isinstance(row, dict)]]
        case = {
            "name": name,
            "folder": str(bundle),
            "parts": [{"rows": part, "expected": expected(model, part)} for part in parts if part],
        }
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(case), encoding="utf-8")
