"""Turns the arguments of Detector.fit into the config, rows and labels that vaekit_training takes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.errors import InputError
from vaekit.tabular.frames import Table, column_of, table
from vaekit.tolerance_rules import parse_rules

if TYPE_CHECKING:
    from vaekit_training.config import Config
    from vaekit_training.data.rows import Rows
    from vaekit_training.loop.tracking import Validation

MIN_NORMAL_ROWS = 20  # normal rows; the same limit as in training
AUTO = "auto"  # the default recipe
TEST_SHARE = 0.02  # of the rows; small, because a detector's test metrics are rarely read
MIN_TEST_ROWS = 2  # rows; a standard error needs two
EXPECTED = "expected booleans, 0 and 1 (1: an anomaly), or 1 and -1 (-1: an anomaly)"


class FitProgress:
    """Prints on standard output what Detector.fit does, and how long it has taken."""

    def __init__(self, rows: int) -> None:
        self._rows, self._start = rows, time.perf_counter()

    def say(self, text: str) -> None:
        print(f"[{time.perf_counter() - self._start:5.1f} s] {text}", flush=True)

    def on_validation(self, validation: Validation) -> None:
        """Print the ELBO of the validation rows; a kernel prior has no steps."""
        step = f"step {validation.step:,}: " if validation.step else ""
        self.say(f"{step}validation ELBO {validation.elbo:.2f} nats")

    def done(self) -> None:
        self.say(f"fitted {self._rows:,} rows")


@dataclass(frozen=True)
class Prepared:
    """What Detector.fit trains on."""

    config: Config
    columns: dict[str, NDArray[Any]] | None  # by name, (N,) each; None for images
    images: NDArray[Any] | None
    warnings: list[str]  # columns that were left out, and suspicious data

    def rows(self, anomaly: NDArray[np.bool_] | None) -> Rows:
        """The rows as vaekit_training takes them, with known anomalies (N,) marked."""
        from vaekit_training.data.load import of_array, of_columns

        if self.columns is None:
            assert self.images is not None
            return of_array(self.images, None, anomaly, config=self.config.data, likelihood=self.config.likelihood)
        n = len(next(iter(self.columns.values())))
        anomaly = np.zeros(n, dtype=bool) if anomaly is None else anomaly
        return of_columns(self.columns, anomaly, config=self.config.data, likelihood=self.config.likelihood)


def config_of(
    X: Any,  # noqa: N803  scikit-learn's name
    *,
    likelihood: str = AUTO,
    settings: Sequence[str] | Mapping[str, Any] = (),
    seed: int = 0,
    folds: int | None = None,
) -> Config:
    """The training config of a Detector for normal rows X."""
    return prepare(table(X), None, likelihood=likelihood, settings=settings, seed=seed, folds=folds).config


def prepare(
    given: Table,
    anomaly: NDArray[np.bool_] | None,
    *,
    likelihood: str = AUTO,
    settings: Sequence[str] | Mapping[str, Any] = (),
    seed: int = 0,
    folds: int | None = None,
    ignore: Mapping[str, Any] | None = None,
    window: Mapping[str, Any] | None = None,
) -> Prepared:
    """The columns and the training config of a Detector; the config follows from the normal rows alone.

    The columns are inspected as `vae train` inspects those of a file, and get the same default recipe.
    """
    from vaekit_training.config import make_config, parse_overrides
    from vaekit_training.data.labels import index_columns, special_columns
    from vaekit_training.data.preview import of_columns
    from vaekit_training.infer import given_data, infer_columns, infer_images, overrides_beside, section

    columns, n = _columns(given)
    normal = n if anomaly is None else int((~anomaly).sum())
    if not normal:
        raise InputError(f"too few rows: 0 normal ones; at least {MIN_NORMAL_ROWS} are needed")
    test = max(TEST_SHARE, MIN_TEST_ROWS / max(normal, MIN_NORMAL_ROWS))
    tree: dict[str, Any] = {
        "name": "detector",
        "data": {
            "source": "memory",
            "missing": "marginalise",
            "fractions": {"train": 0.7 - test, "validation": 0.1, "calibration": 0.2, "test": test},
        },
        "likelihood": {"name": likelihood},
        "training": {"seed": seed},
    }
    if folds is not None:
        tree["data"] |= {"folds": folds}
    if ignore:
        tree["ignore"] = {name: rule.model_dump() for name, rule in parse_rules(ignore).items()}
    of_window = {key: value for key, value in (window or {}).items() if value is not None}
    tree["data"] |= of_window
    given_settings = parse_overrides(settings)
    if "window" in {**section(given_settings, "data"), **of_window}:
        del tree["data"]["fractions"]  # a test split of a fiftieth would have no whole window
    asked = given_settings | {
        "likelihood": {"name": likelihood, **section(given_settings, "likelihood")},
        "data": {"missing": "marginalise", **of_window, **section(given_settings, "data")},
    }
    if columns is None:
        images = np.asarray(given.given)
        tree["likelihood"]["name"] = "gaussian" if likelihood == AUTO else likelihood
        if images.dtype == np.uint8 and images.ndim in (3, 4):  # other arrays are refused with the rows
            infer_images(images if images.ndim == 4 else images[..., None], tree, asked)
        return Prepared(make_config(tree, overrides_beside(asked, given_settings)), None, images, [])
    data = given_data("memory", asked)
    seen = {name: cells if anomaly is None else cells[~anomaly] for name, cells in columns.items()}
    index = index_columns(seen, data, given.index_columns)
    not_modelled = {*index, *data.exclude, *special_columns(data)}
    modelled = {name: cells for name, cells in seen.items() if name not in not_modelled}
    inferred = infer_columns(of_columns(modelled, index, data.missing_values), data, tree, asked)
    if by_metadata := [name for name in given.index_columns if name in index]:
        tree["data"]["exclude"] = [*tree["data"].get("exclude", data.exclude), *by_metadata]
    return Prepared(make_config(tree, overrides_beside(asked, given_settings)), columns, None, inferred.warnings)


def _columns(given: Table) -> tuple[dict[str, NDArray[Any]] | None, int]:
    """(columns by name, rows); None for images."""
    from vaekit.tabular.columns import refuse_duplicate_names

    if given.names is not None:
        refuse_duplicate_names(given.names)
        if not given.columns or not len(given.columns[0]):
            raise InputError(f"X has {'no rows' if given.columns else 'no columns'}")
        return dict(zip(given.names, given.columns, strict=True)), len(given.columns[0]) if given.columns else 0
    values = np.asarray(given.given)
    if values.ndim > 2:
        return None, len(values)
    if values.dtype.kind == "U":
        values = np.asarray(given.given, dtype=object)  # keeps numbers beside text, which numpy turned into text
    if values.ndim != 2:
        raise InputError(f"X has shape {values.shape}, expected (N, D)")
    of = column_of if values.dtype == object else np.asarray
    return {f"x{d}": of(values[:, d]) for d in range(values.shape[1])}, len(values)


def columns_of_steps(rows: Rows) -> Sequence[str]:
    """The columns of X that the rows are made of."""
    if rows.place is None:
        return rows.columns
    return (*rows.place.window.columns, *rows.place.window.beside)


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
