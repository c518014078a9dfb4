"""An anomaly detector with scikit-learn's interface: fit, score, predict."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.bundle import AnyCalibration, Calibration, ImageSpec, VectorSpec, benjamini_hochberg, find, publish
from vaekit.bundle.disk import temporary_folder
from vaekit.bundle.models_folder import check_name
from vaekit.detector_training import config_of, known_anomalies, training_rows
from vaekit.errors import BundleError, InputError, UnknownModel
from vaekit.estimator import Estimator, not_fitted
from vaekit.runtime import Bound, Explained, Model
from vaekit.tabular.frames import table

Floats = NDArray[np.float64]


class Detector(Estimator):
    """Detects anomalous rows by the ELBO of a VAE, at a false-alarm rate that you set.

    >>> detector = Detector(alpha=0.05).fit(rows)
    >>> detector.predict(rows_to_check)
    array([ 1,  1, -1])

    Signs are those of scikit-learn's outlier detectors: lower is more anomalous, and predict gives -1 for an anomaly.
    p_value and predict are split-conformal: for a row exchangeable with the held-out rows, the probability that predict
    gives -1 is at most alpha (below 2 alpha with folds).

    A column with missing cells (NaN or None) in fit may have missing cells in later rows too. The ELBO is computed from
    the observed cells. If no held-out row has as many missing cells as a row, that row has no verdict: its p_value and
    decision_function are NaN, and predict returns 1 for it and warns.

    The columns of a data frame are found by name, in any order. The columns of arrays and lists must be in the model's
    order, which is their order in fit.

    Args:
        alpha: false-alarm rate of predict and decision_function.
        likelihood: "auto" chooses the default recipe (docs/decisions, "The default recipe") for columns of numbers,
            "mixed" if there is text, which is read as categories, and "gaussian" for images. Or any likelihood of a
            training config: "gaussian", "student_t", "bernoulli" for columns of 0 and 1, "mixed" for several kinds.
        settings: any other settings of a training config, as a dictionary, {"network.latent_dim": 4} or
            {"network": {"latent_dim": 4}}, or as texts like those of `vae train --set`, ["network.latent_dim=4"].
        random_state: seed of splits, training and draws.
        device: for training and scoring: "auto", "cpu", "cuda" or "cuda:<index>".
        folds: F, an odd number, for few rows (docs/explanation/calibration.md). F models are trained, each without one
            of F folds, so the rows of all folds are used for both training and calibration. Fitting takes F times as
            long, and the probability of -1 is at most 2 F / (F + 1) alpha.

    Attributes:
        model_: the runtime model, set by `fit` and `of`.
        offset_: decision_function = score_samples - offset_, nats, at the current alpha. With folds it is (F,), one
            offset for each fold model, and decision_function is the median over folds of ELBO - offset.
        n_features_in_: D.
        feature_names_in_: (D,), set if the frame or the model has text names for its columns.

    Pickling or copying a fitted detector includes the files of its bundle, which are verified when they are loaded.
    """

    model_: Model
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]

    def __init__(
        self,
        *,
        alpha: float = 0.05,
        likelihood: str = "auto",
        settings: Sequence[str] | Mapping[str, Any] = (),
        random_state: int = 0,
        device: str = "auto",
        folds: int | None = None,
    ) -> None:
        self.alpha = alpha
        self.likelihood = likelihood
        self.settings = settings
        self.random_state = random_state
        self.device = device
        self.folds = folds

    @classmethod
    def of(cls, model: Model, *, alpha: float = 0.05) -> Self:
        """A detector that uses a trained model.

        Raises:
            BundleError: the model has no calibration.
            InputError, NotResolvable: alpha is not between 0 and 1, or is too small for the model's calibration.
        """
        names = model.spec.names if isinstance(model.spec, VectorSpec) else ()
        return cls(alpha=alpha)._set_model(model)._set_feature_names(names)

    def fit(self, X: Any, y: ArrayLike | None = None) -> Self:  # noqa: N803  scikit-learn's name
        """Train on rows X (N, D), raw units; needs the `training` extra.

        A fifth of the rows is held out for p-values (calibration), a tenth to choose when to stop (validation), and a
        fiftieth, at least two rows, for the metrics in the manifest (test). With folds, all rows but those of
        validation and test are used for both training and calibration, fold by fold.

        Args:
            X: an array, or a pandas or polars frame, whose column names become the feature names.
            y: (N,), labels; known anomalies are not trained on. Booleans or 0 and 1: True or 1 marks an anomaly. If -1
                occurs, -1 marks an anomaly and 1 a normal row, as predict returns them. None: all rows are treated as
                normal.

        Raises:
            InputError: invalid rows or labels, or fewer than 20 normal rows.
            MissingExtra: the training extra is not installed.
            NotResolvable: too few rows for this alpha.
        """
        from vaekit_training.data.split import split
        from vaekit_training.run import train

        given = table(X)
        values = np.asarray(given.values)
        anomaly = None if y is None else known_anomalies(y, len(values) if values.ndim else 0)
        normal = values[~anomaly] if anomaly is not None else values
        config = config_of(
            normal, likelihood=self.likelihood, settings=self.settings, seed=self.random_state, folds=self.folds
        )
        rows = training_rows(given, anomaly, config)
        held_out = split(rows, config.data, config.training.seed).rows_per_p_value
        Calibration(np.zeros(held_out)).check_alpha(self.alpha)  # so that it fails before the training
        with temporary_folder() as folder:
            train(config, folder, device=self.device, rows=rows, draws_report=False)
            self._set_model(Model.load(find(folder, "detector"), device=self.device))
        return self._set_feature_names(getattr(X, "columns", ()))

    def score_samples(self, X: Any) -> Floats:  # noqa: N803  scikit-learn's name
        """ELBO of each row over its observed cells, (N,), in nats. Lower is more anomalous."""
        return self._elbo(X).elbo

    def decision_function(self, X: Any) -> Floats:  # noqa: N803  scikit-learn's name
        """score_samples - offset_, (N,), in nats: below 0 exactly where p_value <= alpha; NaN where p_value is NaN.

        With folds, the median of that difference over the fold models.
        """
        elbo = self._elbo(X)
        margin = self._margin(elbo, -self.offset_)
        return np.where(np.isnan(self._calibration().verdict(elbo).p_value), np.nan, margin)

    def predict(self, X: Any, *, alpha: float | None = None, fdr: float | None = None) -> NDArray[np.intp]:  # noqa: N803
        """-1 for an anomaly, 1 for a normal row, (N,).

        Args:
            X: rows.
            alpha: false-alarm rate; None: the detector's own.
            fdr: false-discovery rate. None: each p-value is compared with alpha. Otherwise the anomalies are the rows
                that the Benjamini-Hochberg procedure selects; on average at most the share fdr of them are false
                discoveries (the guarantee is weaker with folds: docs/explanation/calibration.md).

        Raises:
            InputError: invalid rows, alpha and fdr together, or one of them that is not between 0 and 1.
            NotResolvable: alpha is too small for the number of held-out rows.

        Warns:
            UserWarning: some rows have no verdict, because no held-out row has as many missing cells.
        """
        if alpha is not None and fdr is not None:
            raise InputError("predict: alpha and fdr are two rules for one verdict; give one of them")
        threshold = self._calibration().threshold(self.alpha if alpha is None else alpha)
        elbo = self._elbo(X)
        verdict = self._calibration().verdict(elbo)
        if (unknown := np.isnan(verdict.p_value)).any():
            message = f"{int(unknown.sum())} rows have no verdict, predict returns 1 for them"
            warnings.warn(f"{message}: {verdict.reason}", stacklevel=2)
        if fdr is not None:
            return np.where(benjamini_hochberg(verdict.p_value, fdr).mask, -1, 1)
        return np.where(~unknown & (self._margin(elbo, threshold) < 0), -1, 1)

    def fit_predict(self, X: Any, y: ArrayLike | None = None) -> NDArray[np.intp]:  # noqa: N803  scikit-learn's name
        """fit, then predict on the same rows; their p-values have no guarantee, since the model was trained on them."""
        return self.fit(X, y).predict(X)

    def predict_proba(self, X: Any) -> Floats:  # noqa: N803  scikit-learn's name
        """p_value and 1 - p_value of each row, (N, 2): the first column is for normal, the second for anomaly.

        The second column is the conformal rank #{held-out scores < score} / (1 + n): the share of held-out normal rows
        that are less anomalous. It is uniform on normal rows, for any model. It is not the posterior probability of
        being an anomaly, which depends on how common anomalies are. NaN where p_value is NaN.
        """
        p_value = self.p_value(X)
        return np.stack([p_value, 1.0 - p_value], axis=1)

    def p_value(self, X: Any) -> Floats:  # noqa: N803  scikit-learn's name
        """Split-conformal p-value of each row, (N,). Lower is more anomalous.

        NaN for a row whose number of missing cells occurs in no held-out row.
        """
        return self._calibration().verdict(self._elbo(X)).p_value

    def p_value_tail(self, X: Any) -> Floats:  # noqa: N803  scikit-learn's name
        """p_value, extrapolated beyond the highest held-out score, (N,). Lower is more anomalous; no guarantee.

        Raises:
            InputError: invalid rows, or too few held-out rows for a tail.
        """
        elbo, calibration = self._elbo(X), self._calibration()
        found = calibration.verdict(elbo).p_value_tail
        if found is None:
            each, where = ("", "") if isinstance(calibration, Calibration) else (" in each fold", " in all folds")
            raise InputError(
                f"p_value_tail: a tail needs at least 96 different held-out scores{each}; "
                f"this model has {calibration.n} held-out rows{where}"
            )
        return found

    def explain(self, X: Any, *, top: int = 3) -> Explained:  # noqa: N803  scikit-learn's name
        """The `top` most anomalous cells of each row, and the values expected there; see Model.explain."""
        return self._model().explain(self._model_input(X), top=top)

    def publish(self, path: Path | str) -> Path:
        """Publish the fitted model as a new version for `vae serve` and `vae score`.

        Args:
            path: models folder and name of the model, as in "models/pumps".

        Returns:
            The folder of the new version, which Model.load opens.

        Raises:
            InputError: the last part of the path is not a model name.
            StorageError: the folder cannot be written.
        """
        root, name = Path(path).parent, Path(path).name
        try:
            check_name(name)
        except UnknownModel as exc:
            raise InputError(f"publish: {str(path)!r}: expected models/NAME: {exc}") from exc
        bundle = self._model().bundle
        files = {part.file: bundle.path(part.file).read_bytes() for part in bundle.manifest.files}
        manifest = publish(root, bundle.manifest.model_copy(update={"name": name}), files)
        return root / name / str(manifest.version)

    def _elbo(self, X: Any) -> Bound:  # noqa: N803  scikit-learn's name
        return self._model().bound(self._model_input(X))

    def _model_input(self, X: Any) -> Any:  # noqa: N803  scikit-learn's name
        """X with its columns in the model's order, in a form that Model takes."""
        spec, given = self._model().spec, table(X)
        values = given.ordered(spec) if isinstance(spec, VectorSpec) else given.values
        if _has_categories(spec) and isinstance(values, np.ndarray):
            values = values.astype(object)  # numbers in a float array would be level indices; here they name levels
        return values

    @property
    def offset_(self) -> float | Floats:
        """Minus the score above which a row is an anomaly at the current alpha, nats.

        Raises:
            AttributeError: the detector is not fitted.
            InputError, NotResolvable: alpha is not between 0 and 1, or is too small for the number of held-out rows.
        """
        if not hasattr(self, "model_"):
            raise AttributeError(f"this {type(self).__name__} has no offset_ before fit")
        return -self._calibration().threshold(self.alpha)

    def _margin(self, elbo: Bound, threshold: float | Floats) -> Floats:
        """decision_function of rows that have a p-value, for this threshold of the score, (N,)."""
        calibration = self._calibration()
        return -calibration.excess(calibration.scores_to_compare(elbo), threshold)

    def _set_model(self, model: Model) -> Self:
        self.model_ = model
        self.n_features_in_ = model.spec.dim
        self._calibration().threshold(self.alpha)  # refuses an alpha that this calibration cannot resolve
        return self

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


def _has_categories(spec: VectorSpec | ImageSpec) -> bool:
    return isinstance(spec, VectorSpec) and spec.has_categories
