"""Turns the arguments of Detector.fit into the config, rows and labels that vaekit_training takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.errors import InputError
from vaekit.tabular.frames import Table, has_text, table

if TYPE_CHECKING:
    from vaekit_training.config import Config
    from vaekit_training.data.rows import Rows

MIN_NORMAL_ROWS = 20  # normal rows; the same limit as in training
TEST_SHARE = 0.02  # share of the rows; small, because a detector's test metrics are rarely read
MIN_TEST_ROWS = 2  # rows; a standard error needs two
EXPECTED = "expected booleans, 0 and 1 (1: an anomaly), or 1 and -1 (-1: an anomaly)"


def config_of(
    X: Any,  # noqa: N803  scikit-learn's name
    *,
    likelihood: str = "auto",
    settings: Sequence[str] | Mapping[str, Any] = (),
    seed: int = 0,
    folds: int | None = None,
) -> Config:
    """The training config of a Detector for normal rows X."""
    from vaekit_training.config import make_config

    values = np.asarray(table(X).values)
    test = max(TEST_SHARE, MIN_TEST_ROWS / max(len(values) if values.ndim else 0, MIN_NORMAL_ROWS))
    tree: dict[str, Any] = {
        "name": "detector",
        "data": {
            "source": "memory",
            "missing": "marginalise",
            "fractions": {"train": 0.7 - test, "validation": 0.1, "calibration": 0.2, "test": test},
        },
        "likelihood": {"name": _default_likelihood(values) if likelihood == "auto" else likelihood},
        "training": {"seed": seed},
    }
    if folds is not None:
        tree["data"] |= {"folds": folds}
    return make_config(tree, settings)


def _default_likelihood(values: NDArray[Any]) -> str:
    """The likelihood that "auto" stands for."""
    if values.ndim > 2:
        return "gaussian"
    return "mixed" if has_text(values) else "auto"


def training_rows(given: Table, anomaly: NDArray[np.bool_] | None, config: Config) -> Rows:
    """The training rows (N, D) for the rows and known anomalies given to Detector.fit."""
    from vaekit_training.data.load import of_array

    values = np.asarray(given.values)
    if values.dtype.kind == "U":
        values = np.asarray(given.values, dtype=object)  # numpy turns numbers beside text into text; this keeps them
    return of_array(values, given.names, anomaly, config=config.data, likelihood=config.likelihood)


def known_anomalies(y: ArrayLike, rows: int) -> NDArray[np.bool_]:
    """Which rows are known anomalies, (N,).

    There are two conventions. 0 and 1, or booleans: 1 is an anomaly. -1 and 1, as scikit-learn's outlier detectors
    predict: -1 is an anomaly. -1 and 0 tell them apart.

    Raises:
        InputError: the number of labels differs from the number of rows, a label is of neither convention, or the
            labels fit both, because all are 1.
    """
    labels = np.asarray(y)
    if labels.shape == (rows, 1):
        labels = labels[:, 0]  # a frame with one column
    if labels.shape != (rows,):
        raise InputError(f"y: shape {labels.shape}, expected ({rows},)")
    found = labels.tolist()
    for row, label in enumerate(found):
        if not isinstance(label, bool | int | float | np.bool_ | np.number) or label not in (-1, 0, 1):
            raise InputError(f"y: row {row}: {label!r}, {EXPECTED}")
    if -1 in found:
        if 0 in found:
            raise InputError(f"y: both 0 (row {found.index(0)}) and -1 (row {found.index(-1)}), {EXPECTED}")
        return np.array([label == -1 for label in found], dtype=bool)
    if found and all(label == 1 and not isinstance(label, bool | np.bool_) for label in found):
        raise InputError(
            "y: all labels are 1, which marks an anomaly among 0 and 1, and a normal row among -1 and 1; if all rows "
            "are normal, leave y out"
        )
    return np.array([bool(label) for label in found], dtype=bool)
