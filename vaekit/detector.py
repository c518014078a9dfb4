"""An anomaly detector with scikit-learn's interface: fit, score, predict."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.bundle import AnyCalibration, Calibration, VectorSpec, benjamini_hochberg, find
from vaekit.bundle.calibration import check_alpha
from vaekit.bundle.comparison import rank_score
from vaekit.bundle.disk import temporary_folder
from vaekit.bundle.groups import ALL_ROWS
from vaekit.bundle.packed import publish_as
from vaekit.detector_rows import FittedColumns, in_place, model_input, scored
from vaekit.detector_training import FitProgress, columns_of_steps, known_anomalies, prepare
from vaekit.errors import BundleError, InputError
from vaekit.estimator import Estimator, not_fitted, refusing_foreign
from vaekit.runtime import Bound, Explained, Model
from vaekit.tabular.frames import table
from vaekit.tabular.windows import with_levels

Floats = NDArray[np.float64]


class Detector(Estimator):
    """Detects anomalous rows by the ELBO of a VAE, at a false-alarm rate that you set.

    >>> detector = Detector(alpha=0.05).fit(rows)
    >>> detector.predict(rows_to_check)
    array([ 1,  1, -1])

    Signs are those of scikit-learn's outlier detectors: lower is more anomalous, and predict gives -1 for an anomaly.
    p_value and predict are split-conformal: for a row exchangeable with the held-out rows, the probability that predict
    gives -1 is at most alpha (below 2 alpha with folds).

    The ELBO is over the observed cells of a row. A row with a level unseen in fit, a number outside its column's kind,
    or more missing cells than any training row is novel: it ranks above all rows that are not.

    Tables (frames of pandas and polars, tables of pyarrow, structured arrays, lists of dicts) have their columns found
    by name, in any order. Columns that fit did not have are ignored, with a warning that names them. All other inputs
    have the columns in the order of fit.

    fit leaves out, with a warning, columns that say nothing about a row: dates, ids and indices, text that differs in
    most rows, columns without a value. `settings={"data": {"kinds": {"NAME": "real"}}}`
    keeps one.

    Args:
        alpha: false-alarm rate of predict and decision_function.
        likelihood: "auto" chooses as `vae train` does for data alone: for tables the default recipe
            (docs/reference/training.md), which is a kernel prior without training steps, where booleans and text, which
            is read as categories, have probabilities; and "gaussian" for images. Or any likelihood of a training
            config: "gaussian", "student_t", "bernoulli" for columns of 0 and 1, "mixed" for several kinds.
        settings: any other settings of a training config, as a dictionary, {"network.latent_dim": 4} or
            {"network": {"latent_dim": 4}}, or as texts like those of `vae train --set`, ["network.latent_dim=4"].
        random_state: seed of splits, training and draws.
        device: for training and scoring: "auto", "cpu", "cuda" or "cuda:<index>".
        folds: F, an odd number, for few rows (docs/explanation/calibration.md): F models are trained, each without one
            of F folds, so all these rows train and calibrate. Fitting takes F times as long, and the guarantee is
            P(-1) <= 2 F / (F + 1) alpha.
        strict: whether to refuse columns that fit did not have, instead of ignoring them.
        window: W, for series: X has one row per time step, and W consecutive ones are scored together
            (docs/how-to/windows-of-a-series.md). Every method then gives one result per row of X, that of the window
            which ends there. Where none ends, as at the first W - 1 rows, numbers are NaN and predict gives 1.
        time, series_column: names of the columns of X with the time and the series of a row, or of levels of the index
            of a pandas frame; x0, x1, ... for an array. None: rows are in order of time, and one series.
        verbose: whether fit prints what it does and how long it takes.
        ignore: tolerance rules by column, {"pressure": {"above": 0.2, "below": "any"}}: the largest deviations from the
            expected value that predict does not report. fit writes them into the bundle. None: the rules of the bundle.

    Attributes:
        model_: the runtime model, set by `fit` and `of`.
        offset_: `decision_function` = `score_samples - offset_`, nats, at the current alpha. With folds it is (F,), one
            offset for each fold model, and decision_function is the median over folds of ELBO - offset. With
            calibration groups there is one for all rows and one for each group, (1 + groups,) or (1 + groups, F).
        n_features_in_: columns of X in fit, those that it left out included.
        feature_names_in_: their names, set if the frame or the model has text names for its columns.
        left_out_: names of the columns that fit left out; x0, x1, ... for an array.

    Pickling or copying a fitted detector includes the files of its bundle, which are verified when they are loaded.
    """

    model_: Model
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]
    left_out_: tuple[str, ...]

    @refusing_foreign
    def __init__(
        self,
        *,
        alpha: float = 0.05,
        likelihood: str = "auto",
        settings: Sequence[str] | Mapping[str, Any] = (),
        random_state: int = 0,
        device: str = "auto",
        folds: int | None = None,
        strict: bool = False,
        ignore: Mapping[str, Any] | None = None,
        window: int | None = None,
        time: str | None = None,
        series_column: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.verbose = verbose
        self.window = window
        self.time = time
        self.series_column = series_column
        self.alpha = alpha
        self.likelihood = likelihood
        self.settings = settings
        self.random_state = random_state
        self.device = device
        self.folds = folds
        self.strict = strict
        self.ignore = ignore

    @classmethod
    def of(cls, model: Model, *, alpha: float = 0.05) -> Self:
        """A detector that uses a trained model.

        Raises:
            BundleError: the model has no calibration.
            InputError: alpha is not between 0 and 1.
        """
        names = model.spec.step.names if isinstance(model.spec, VectorSpec) else ()
        return cls(alpha=alpha)._set_model(model)._set_feature_names(names)

    def fit(self, X: Any, y: ArrayLike | None = None) -> Self:  # noqa: N803  scikit-learn's name
        """Train on rows X (N, D), raw units, or with `window` on the time steps of series; needs the `training` extra.

        A fifth of the rows is held out for p-values (calibration), a tenth to choose when to stop (validation), and a
        fiftieth, at least two rows, for the metrics in the manifest (test). A kernel prior has no steps and takes most
        of the validation rows too. With folds, all rows but those of validation and test are used for both training and
        calibration, fold by fold. With windows, the first 60 % of the steps of each series train, and the last 30 % are
        for calibration and test.

        Args:
            X: an array, or a pandas or polars frame, whose column names become the feature names.
            y: (N,), labels; known anomalies are not trained on. Booleans or 0 and 1: True or 1 marks an anomaly. If -1
                occurs, -1 marks an anomaly and 1 a normal row, as predict returns them. None: all rows are treated as
                normal.

        Raises:
            InputError: invalid rows or labels, or fewer than 20 normal rows.
            MissingExtra: the training extra is not installed.

        Warns:
            UserWarning: too few rows for this alpha, so that no row can be an anomaly; or gaps of time leave out more
                than a tenth of the windows.
        """
        from vaekit_training.data.split import split
        from vaekit_training.run import Listener, train

        check_alpha(self.alpha)
        X = with_levels(X, (self.time, self.series_column))  # noqa: N806
        given = table(X)
        anomaly = None if y is None else known_anomalies(y, given.rows)
        prepared = prepare(
            given,
            anomaly,
            likelihood=self.likelihood,
            settings=self.settings,
            seed=self.random_state,
            folds=self.folds,
            ignore=self.ignore,
            window={"window": self.window, "time": self.time, "series_column": self.series_column},
        )
        config, rows = prepared.config, prepared.rows(anomaly)
        held_out = split(rows, config.data, config.training.seed).rows_per_p_value
        said = list(prepared.warnings)
        if reason := Calibration(np.zeros(held_out)).too_few(self.alpha):  # before the training, not after
            said.append(reason)
        if rows.place is not None and rows.place.losses:
            said.append(rows.place.losses)
        progress = FitProgress(given.rows) if self.verbose else None
        listener = Listener(found=said.append)
        if progress is not None:
            listener = replace(listener, say=progress.say, on_validation=progress.on_validation)
        try:
            with temporary_folder() as folder:
                train(config, folder, device=self.device, rows=rows, draws_report=False, listener=listener)
                self._set_model(Model.load(find(folder, "detector"), device=self.device))
            if progress is not None:
                progress.done()
        finally:
            for text in said:  # also if they explain why training failed
                warnings.warn(text, stacklevel=2)
        if prepared.columns is not None:
            self._set_columns(FittedColumns.of(list(prepared.columns), columns_of_steps(rows)))
        return self._set_feature_names(getattr(X, "columns", ()))

    def score_samples(self, X: Any) -> Floats:  # noqa: N803  scikit-learn's name
        """ELBO of each row over its observed cells, (N,), in nats. Lower is more anomalous.

        NaN for a time step at which no window ends, as p_value and decision_function.
        """
        return self._elbo(X).elbo

    def decision_function(self, X: Any) -> Floats:  # noqa: N803  scikit-learn's name
        """`score_samples - offset_`, (N,), in nats: below 0 exactly where p_value <= alpha.

        With folds, the median of that difference over the fold models. For a novel row, a number that no other row's is
        below: a large negative one, or 0 if so many held-out rows are novel that no row is an anomaly.
        """
        calibration = self._calibration()
        elbo, ends = scored(self._elbo(X), self._model().spec)
        thresholds = calibration.row_thresholds(elbo, self.alpha)
        margin = -calibration.excess(calibration.scores_to_compare(elbo), thresholds)
        if elbo.novel is not None and elbo.novel.any():
            is_anomaly = calibration.verdict(elbo).p_value <= self.alpha
            margin = np.where(elbo.novel, np.where(is_anomaly, -rank_score(elbo.score, elbo.novel), 0.0), margin)
        return in_place(margin, ends)

    def predict(self, X: Any, *, alpha: float | None = None, fdr: float | None = None) -> NDArray[np.intp]:  # noqa: N803
        """-1 for an anomaly, 1 for a normal row, (N,). Tolerance rules may turn -1 into 1, except with fdr.

        Args:
            X: rows.
            alpha: false-alarm rate; None: the detector's own.
            fdr: false-discovery rate. None: each p-value is compared with alpha. Otherwise the anomalies are the rows
                that the Benjamini-Hochberg procedure selects; on average at most the share fdr of them are false
                discoveries (the guarantee is weaker with folds: docs/explanation/calibration.md).

        Raises:
            InputError: invalid rows, alpha and fdr together, or one of them that is not between 0 and 1.

        Warns:
            UserWarning: no row can be an anomaly at this alpha, because the held-out rows are too few.
        """
        if alpha is not None and fdr is not None:
            raise InputError("predict: alpha and fdr are two rules for one verdict; give one of them")
        rows, model, rate = self._model_input(X), self._model(), self.alpha if alpha is None else alpha
        bound, ends = scored(model.bound(rows, strict=self.strict), model.spec)
        verdict = self._calibration().verdict(bound, rate)
        if fdr is not None:
            return in_place(np.where(benjamini_hochberg(verdict.p_value, fdr).mask, -1, 1), ends, empty=1)
        if verdict.reason:
            warnings.warn(verdict.reason, stacklevel=2)
        assert verdict.is_anomaly is not None  # alpha was given
        found = in_place(np.where(verdict.is_anomaly, -1, 1), ends, empty=1)
        if model.tolerances if self.ignore is None else self.ignore:
            found[self._tolerated(rows, rate).astype(bool)] = 1
        return found

    def fit_predict(self, X: Any, y: ArrayLike | None = None) -> NDArray[np.intp]:  # noqa: N803  scikit-learn's name
        """fit, then predict on the same rows; their p-values have no guarantee, since the model was trained on them."""
        return self.fit(X, y).predict(X)

    def predict_proba(self, X: Any) -> Floats:  # noqa: N803  scikit-learn's name
        """p_value and 1 - p_value of each row, (N, 2): the first column is for normal, the second for anomaly.

        The second column is the conformal rank #{held-out scores < score} / (1 + n): the share of held-out normal rows
        that are less anomalous. It is uniform on normal rows, for any model. It is not the posterior probability of
        being an anomaly, which depends on how common anomalies are.
        """
        p_value = self.p_value(X)
        return np.stack([p_value, 1.0 - p_value], axis=1)

    def p_value(self, X: Any) -> Floats:  # noqa: N803  scikit-learn's name
        """Split-conformal p-value of each row, (N,). Lower is more anomalous."""
        elbo, ends = scored(self._elbo(X), self._model().spec)
        return in_place(self._calibration().verdict(elbo).p_value, ends)

    def calibration_groups(self, X: Any) -> NDArray[np.str_]:  # noqa: N803  scikit-learn's name
        """The name of the calibration group that each row is compared with, (N,): 'site=a', or 'all rows'.

        All rows are compared with all held-out rows, unless the setting calibration.by names group columns.
        """
        elbo = self._elbo(X)
        return np.full(len(elbo), ALL_ROWS) if elbo.group is None else elbo.group

    def p_value_tail(self, X: Any) -> Floats:  # noqa: N803  scikit-learn's name
        """p_value, extrapolated beyond the highest held-out score, (N,). Lower is more anomalous; no guarantee.

        Raises:
            InputError: invalid rows, or too few held-out rows for a tail.
        """
        calibration = self._calibration()
        elbo, ends = scored(self._elbo(X), self._model().spec)
        found = calibration.verdict(elbo).p_value_tail
        if found is None:
            each, where = ("", "") if isinstance(calibration, Calibration) else (" in each fold", " in all folds")
            raise InputError(
                f"p_value_tail: a tail needs at least 96 different held-out scores{each}; "
                f"this model has {calibration.n} held-out rows{where}"
            )
        return in_place(found, ends)

    def explain(self, X: Any, *, top: int | None = None) -> Explained:  # noqa: N803  scikit-learn's name
        """The `top` most anomalous cells of each row (default: 3), and the values expected there; see Model.explain."""
        return self._model().explain(self._model_input(X), top=top, strict=self.strict)

    def tolerated(self, X: Any, *, alpha: float | None = None) -> NDArray[np.object_]:  # noqa: N803  scikit-learn's name
        """The tolerance rules that turn -1 into 1 in `predict`: (N,) lists of column names; see Model.tolerated."""
        return self._tolerated(self._model_input(X), self.alpha if alpha is None else alpha)

    def _tolerated(self, rows: Any, alpha: float) -> NDArray[np.object_]:
        return self._model().tolerated(rows, alpha=alpha, ignore=self.ignore, strict=self.strict)

    def publish(self, path: Path | str) -> Path:
        """Publish the fitted model for `vae serve` and `vae score`; returns the folder of the new version.

        The path has the models folder and the name of the model, as in "models/pumps". Errors: InputError for a path
        without a model name, and StorageError for a folder that cannot be written.
        """
        return publish_as(self._model().bundle, path)

    def _elbo(self, X: Any) -> Bound:  # noqa: N803  scikit-learn's name
        return self._model().bound(self._model_input(X), strict=self.strict)

    def _model_input(self, X: Any) -> Any:  # noqa: N803  scikit-learn's name
        """X with its columns in the model's order, in a form that Model takes; warns of columns that are ignored."""
        return model_input(X, self._model().spec, self._columns, strict=self.strict, stacklevel=4)

    @property
    def offset_(self) -> float | Floats:
        """Minus the score above which a row is an anomaly at the current alpha, nats; an attribute only once fitted."""
        if not hasattr(self, "model_"):
            raise AttributeError(f"this {type(self).__name__} has no offset_ before fit")
        return -self._calibration().threshold(self.alpha)

    def _set_model(self, model: Model) -> Self:
        self.model_ = model
        self._set_columns(FittedColumns(model.spec.step.dim if isinstance(model.spec, VectorSpec) else model.spec.dim))
        self._calibration().threshold(self.alpha)  # refuses an alpha that is not between 0 and 1
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if hasattr(self, "model_") and not hasattr(self, "_columns"):  # pickled before fit left columns out
            self._set_columns(FittedColumns(self.model_.spec.dim))

    def _set_columns(self, columns: FittedColumns) -> None:
        self._columns = columns
        self.n_features_in_, self.left_out_ = columns.width, columns.left_out

    def _set_feature_names(self, names: Sequence[Any]) -> Self:
        """Keep the columns' names if all are text, as scikit-learn does."""
        if len(names) and all(isinstance(name, str) for name in names):
            self.feature_names_in_ = np.array(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return self

    def _model(self) -> Model:
        if not hasattr(self, "model_"):
            raise not_fitted(f"this {type(self).__name__} has no model: call fit, or create it with Detector.of")
        return self.model_

    def _calibration(self) -> AnyCalibration:
        found = self._model().calibration()
        if isinstance(found, str):
            raise BundleError(f"{self.model_.manifest.name}: {found}")
        return found
