"""An anomaly detector in scikit-learn's manner: fit, score, predict. Knows training and runtime by their doors."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.bundle import Calibration, ImageSpec, VectorSpec, find
from vaekit.errors import BundleError, InputError
from vaekit.runtime import Elbo, Model

if TYPE_CHECKING:
    from training.config import Config
    from training.data.rows import Rows


class Detector:
    """Odd rows by the ELBO of a VAE, with a false-alarm rate that is set, not hoped for.

    >>> detector = Detector(alpha=0.05).fit(rows)
    >>> detector.predict(rows_to_check)
    array([ 1,  1, -1])

    Signs are those of scikit-learn's outlier detectors: lower is odder, predict gives -1 for an anomaly. p_value and
    its verdict are split-conformal: on rows exchangeable with the held-out part of those fitted on, P(-1) <= alpha.

    Columns that have NaN or None when fitting may have them in use; the ELBO is over the cells that are there. A row
    that misses as many cells as no held-out row does has no verdict: its p_value and decision_function are NaN, and
    predict says 1 and warns.

    A data frame's columns are found by name, in any order; anything else has them in the model's order.

    Args:
        alpha: false-alarm rate of predict and decision_function.
        likelihood: "auto" is what detects anomalies best (docs/log.md, "The default recipe") for columns of numbers,
            "mixed" for text, which is taken as categories, and "gaussian" for pictures; else what a training config
            takes: "gaussian", "student_t", "bernoulli" for columns of 0 and 1, "mixed" for several kinds.
        settings: any other settings of a training config, as for `vae train --set`: ["network.latent_dim=4"],
            ["data.kinds.stops=count"], ["data.missing=refuse"].
        random_state: seed of everything.
        device: of training and scoring: "auto", "cpu", "cuda" or "cuda:<index>".

    Attributes:
        model_: the runtime model, after fit or of.
        offset_: decision_function = score_samples - offset_, nats.
        n_features_in_: D.
    """

    model_: Model
    offset_: float
    n_features_in_: int

    def __init__(
        self,
        *,
        alpha: float = 0.05,
        likelihood: str = "auto",
        settings: Sequence[str] = (),
        random_state: int = 0,
        device: str = "auto",
    ) -> None:
        self.alpha = alpha
        self.likelihood = likelihood
        self.settings = settings
        self.random_state = random_state
        self.device = device

    @classmethod
    def of(cls, model: Model, *, alpha: float = 0.05) -> Self:
        """A detector over a model that is trained already.

        Raises:
            BundleError: the model has no calibration.
            InputError, NotResolvable: an alpha that its calibration cannot tell.
        """
        return cls(alpha=alpha)._take(model)

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:  # noqa: N803  scikit-learn's name
        """Train on rows X (N, D), raw units; needs the `training` extra.

        A fifth of the rows is held out for p-values, a tenth to choose when to stop, and a tenth for the figures of
        the report.

        Args:
            X: an array or a data frame; a frame's column names become those of the features.
            y: booleans, or numbers 0 and 1; 1 marks known anomalies, which are kept out of training; None: all rows
                are taken as normal.

        Raises:
            InputError: rows or labels that are refused, or fewer than 20 normal rows.
            MissingExtra: the training extra is not installed.
            NotResolvable: too few rows for this alpha.
        """
        from training.data.split import split
        from training.run import train

        config = config_of(X, likelihood=self.likelihood, settings=self.settings, seed=self.random_state)
        rows = _rows(X, y, config)
        held_out = len(split(rows, config.data, config.training.seed).calibration)
        Calibration(np.zeros(held_out)).check_alpha(self.alpha)  # before the training, not after
        with tempfile.TemporaryDirectory(prefix="vaekit-detector-") as folder:
            train(config, folder, device=self.device, rows=rows)
            return self._take(Model.load(find(Path(folder), "detector"), device=self.device))

    def score_samples(self, X: Any) -> NDArray[np.float64]:  # noqa: N803  scikit-learn's name
        """ELBO of each row, (N,), in nats, over the cells that are there. Lower is odder."""
        return self._elbo(X).elbo

    def decision_function(self, X: Any) -> NDArray[np.float64]:  # noqa: N803  scikit-learn's name
        """score_samples - offset_, (N,), in nats: below 0 exactly where p_value <= alpha; NaN where that is NaN."""
        elbo = self._elbo(X)
        return np.where(np.isnan(self._p_value(elbo)), np.nan, elbo.elbo - self.offset_)

    def predict(self, X: Any) -> NDArray[np.intp]:  # noqa: N803  scikit-learn's name
        """-1 for an anomaly at alpha, 1 for none, (N,).

        Warns:
            UserWarning: rows that have no verdict, since no held-out row misses as many cells.
        """
        elbo = self._elbo(X)
        p_value = self._p_value(elbo)
        if (unknown := np.isnan(p_value)).any():
            gap = self._calibration().gap(elbo.observed_count)
            warnings.warn(f"{int(unknown.sum())} rows have no verdict and are given as 1: {gap}", stacklevel=2)
        return np.where(p_value <= self.alpha, -1, 1)

    def fit_predict(self, X: ArrayLike, y: ArrayLike | None = None) -> NDArray[np.intp]:  # noqa: N803  scikit-learn's name
        """fit, then predict; p-values of the rows fitted on promise nothing."""
        return self.fit(X, y).predict(X)

    def p_value(self, X: Any) -> NDArray[np.float64]:  # noqa: N803  scikit-learn's name
        """Split-conformal p-value of each row, (N,). Lower is odder; NaN where no held-out row misses as many cells."""
        return self._p_value(self._elbo(X))

    def _elbo(self, X: Any) -> Elbo:  # noqa: N803  scikit-learn's name
        values = _values(X)
        if hasattr(X, "columns") and isinstance(values, np.ndarray) and isinstance(self.model_.spec, VectorSpec):
            values = values[:, _places([str(name) for name in X.columns], self.model_.spec)]
        if _has_categories(self.model_.spec) and isinstance(values, np.ndarray):
            values = values.astype(object)  # numbers are names of levels here, as in fit, and not their indices
        return self.model_.elbo(values)

    def _p_value(self, elbo: Elbo) -> NDArray[np.float64]:
        return self._calibration().p_value(elbo.score, elbo.observed_count)

    def _take(self, model: Model) -> Self:
        self.model_ = model
        self.n_features_in_ = model.spec.dim
        calibration = self._calibration()
        self.offset_ = -calibration.threshold(self.alpha)
        return self

    def _calibration(self) -> Calibration:
        found = self.model_.calibration()
        if isinstance(found, str):
            raise BundleError(f"{self.model_.manifest.name}: {found}")
        return found


def config_of(X: Any, *, likelihood: str = "auto", settings: Sequence[str] = (), seed: int = 0) -> Config:  # noqa: N803  scikit-learn's name
    """What a Detector trains rows X by."""
    from training.config import make_config

    tree = {
        "name": "detector",
        "data": {"source": "memory", "missing": "marginalise"},
        "likelihood": {"name": _fitting(X) if likelihood == "auto" else likelihood},
        "training": {"seed": seed},
    }
    return make_config(tree, settings)


def _values(X: Any) -> Any:  # noqa: N803  scikit-learn's name
    """A data frame's cells, None where one is missing and they are not all numbers; anything else as it is."""
    if not hasattr(X, "to_numpy"):
        return X
    values = np.asarray(X.to_numpy())
    if values.dtype == object and hasattr(X, "isna"):
        values = values.copy()
        values[np.asarray(X.isna().to_numpy())] = None  # pandas has a missing value of its own
    return values


def _places(names: Sequence[str], spec: VectorSpec) -> list[int]:
    """Where a frame's columns have the model's, (D,), in the model's order."""
    missing = [name for name in spec.names if name not in names]
    unknown = [name for name in names if name not in spec.names]
    if missing or unknown:
        found = (("missing", missing), ("unknown", unknown))
        raise InputError("columns: " + "; ".join(f"{said}: {', '.join(map(repr, of))}" for said, of in found if of))
    if len(names) != spec.dim:
        raise InputError(f"columns: two are named {next(name for name in names if names.count(name) > 1)!r}")
    return [names.index(name) for name in spec.names]


def _fitting(X: Any) -> str:  # noqa: N803  scikit-learn's name
    """The likelihood of rows that nothing is known of."""
    values = np.asarray(_values(X))
    if values.ndim > 2:
        return "gaussian"
    is_object = values.dtype.kind == "O"
    has_text = values.dtype.kind in "US" or (is_object and any(isinstance(cell, str) for cell in values.flat))
    return "mixed" if has_text else "auto"


def _has_categories(spec: VectorSpec | ImageSpec) -> bool:
    return isinstance(spec, VectorSpec) and spec.has_categories


def _rows(X: Any, y: ArrayLike | None, config: Config) -> Rows:  # noqa: N803  scikit-learn's name
    """X and y as the training room's rows."""
    from training.data.load import of_array

    names = [str(name) for name in X.columns] if hasattr(X, "columns") else None
    values = np.asarray(_values(X))
    if values.dtype.kind == "U":
        values = np.asarray(_values(X), dtype=object)  # numbers beside text, which numpy made text as well
    anomaly = None if y is None else _anomalies(y, len(values))
    return of_array(values, names, anomaly, config=config.data, likelihood=config.likelihood)


def _anomalies(y: ArrayLike, rows: int) -> NDArray[np.bool_]:
    """Which rows are known anomalies, (N,)."""
    labels = np.asarray(y)
    if labels.shape != (rows,):
        raise InputError(f"y: shape {labels.shape}, expected ({rows},)")
    for row, label in enumerate(labels.tolist()):
        if not isinstance(label, bool | int | float | np.bool_ | np.number) or label not in (0, 1):
            raise InputError(f"y: row {row}: {label!r}, expected a boolean, 0 or 1")
    return labels.astype(bool)
