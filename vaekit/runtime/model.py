"""Loads one version of a trained VAE from its folder, and encodes, scores, explains, decodes and samples with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import Bundle, find, open_bundle, versions
from vaekit.bundle.calibration import check_alpha
from vaekit.bundle.manifest import Precision
from vaekit.bundle.models_folder import has_manifest
from vaekit.bundle.packed import packed, unpacked
from vaekit.runtime.device import DEFAULTS, Cuda
from vaekit.runtime.explain.explanation import explain
from vaekit.runtime.explain.similar import similar
from vaekit.runtime.explain.tolerance import Tolerated, tolerances_of, tolerated
from vaekit.runtime.operations import Operations
from vaekit.runtime.results import Bound, Elbo, Explained, Posterior, Similar
from vaekit.tabular import encode_named
from vaekit.tabular.explained_cells import named
from vaekit.tabular.novelty import refuse_more_missing
from vaekit.tolerance_rules import parse_rules

B = TypeVar("B", bound=Bound)
EXPLAINED = 3  # cells of a row that an explanation names by default


class Model(Operations):
    """One version of a trained VAE on ONNX Runtime.

    >>> model = Model.load("models/breast-cancer")
    >>> model.encode(rows).mu.shape
    (2, 8)

    Rows are in raw units, in any form that `vaekit.tabular.encode` takes: arrays, lists, dicts by column name, frames
    of pandas and polars, tables of pyarrow. Columns that the model does not have are ignored, with a warning that names
    them. Rows may be novel: with a level unseen in training, a number outside the support of its column, or more
    missing cells than any training row. strict=True refuses both. The result of a row does not depend on the other rows
    of the call (to 1e-5 relative). Calls from several threads are safe.
    """

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        device: str = "auto",
        threads: int | None = None,
        precision: Precision = "float32",
        cuda: Cuda = DEFAULTS,
    ) -> Self:
        """Open a version's folder, or the pinned or latest version of a model's; verify it and replay its golden rows.

        Args:
            path: models/<name>/<version> or models/<name>.
            device: "auto", "cpu", "cuda" or "cuda:<index>".
            threads: number of threads of one call on the CPU, including the caller's thread. Each graph has its own
                threads, which sleep between calls. None: one per core that this process may use, at most 8.
            precision: precision of the networks. "float16" is meant for GPUs, and needs a bundle with float16 graphs.
            cuda: options for CUDA devices.

        Raises:
            BundleError: the bundle is invalid, or its graphs do not reproduce the golden outputs.
            DeviceError: the requested device is not available.
            MissingExtra: ONNX Runtime is not installed, or both of its distributions are.
        """
        folder = Path(path)
        if not has_manifest(folder) and versions(folder.parent, folder.name):
            folder = find(folder.parent, folder.name)
        return cls._opened(open_bundle(folder), device=device, threads=threads, precision=precision, cuda=cuda)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the files of the bundle. Unpickling verifies them and replays the golden rows."""
        return _of_files, (type(self), packed(self.bundle), self._options)

    @classmethod
    def _opened(cls, bundle: Bundle, **options: Any) -> Self:
        """The model of a bundle; closes the bundle if loading fails."""
        try:
            return cls(bundle, **options)
        except BaseException:
            bundle.close()
            raise

    def close(self) -> None:
        self.graphs.clear()
        self.bundle.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def encode(self, x: Any, *, strict: bool = False) -> Posterior:
        """q(z|x) = N(mu, sigma^2) of each row.

        Raises:
            InputError: invalid rows; see vaekit.tabular.encode.
        """
        return self.encode_checked(self._rows(x, strict))

    def elbo(
        self,
        x: Any,
        *,
        num_samples: int | None = None,
        seed: int | None = None,
        features: bool = False,
        eps: NDArray[np.floating] | None = None,
        strict: bool = False,
    ) -> Elbo:
        """ELBO of each row in nats, with its two terms, the importance-weighted bound and the p-value.

            elbo         = E_q[log p(x|z)] - KL(q(z|x) || p(z))
            log_evidence = log (1/K) sum_k p(x|z_k) p(z_k) / q(z_k|x),   z_k = mu + sigma eps_k

        Args:
            x: rows.
            num_samples: K; None: the manifest's default.
            seed: seed of the draws, which are the same for all rows; None: the default draws.
            features: also return the log-likelihood of each feature; with a kernel prior, log p(x_d | the other cells).
            eps: the draws themselves, (K, Z) or (N, K, Z), in place of num_samples and seed.
            strict: whether to refuse novel rows, and columns that the model does not have.

        Returns:
            p_value is None for draws that have no calibration.

        Raises:
            InputError: invalid rows, K or eps.
        """
        rows = self._rows(x, strict)
        found = self.elbo_checked(rows, num_samples=num_samples, seed=seed, features=features, eps=eps)
        return found if eps is not None else self._with_p_value(found, num_samples, seed)

    def bound(
        self,
        x: Any,
        *,
        num_samples: int | None = None,
        seed: int | None = None,
        eps: NDArray[np.floating] | None = None,
        strict: bool = False,
    ) -> Bound:
        """The ELBO, its two terms and the p-value, without log_evidence; faster with a prior of training rows.

        Args:
            x, num_samples, seed, eps, strict: as in elbo.

        Raises:
            InputError: invalid rows, K or eps.
        """
        found = self.bound_checked(self._rows(x, strict), num_samples=num_samples, seed=seed, eps=eps)
        return found if eps is not None else self._with_p_value(found, num_samples, seed)

    def surprise(
        self, x: Any, *, num_samples: int | None = None, seed: int | None = None, strict: bool = False
    ) -> Elbo:
        """elbo with the log-likelihood of each feature, which shows anomalous cells."""
        return self.elbo(x, num_samples=num_samples, seed=seed, features=True, strict=strict)

    def explain(self, x: Any, *, top: int | None = None, strict: bool = False) -> Explained:
        """elbo on the default draws, with the `top` most anomalous cells of each row and their expected values.

        A cell's surprise is compared with those of the same feature in held-out rows, because surprises of different
        features are not comparable. The expected value is predicted from the row without the cell.

        Args:
            x: rows.
            top: k, number of cells per row; None: 3, or all of fewer columns.
            strict: as in elbo.

        Returns:
            `explanation` has the cells as numbers, `cells` by the names of columns and levels.

        Raises:
            InputError: invalid rows or k, or a model without surprises of held-out rows.
        """
        found = explain(self, self._rows(x, strict), top=min(EXPLAINED, self.spec.dim) if top is None else top)
        assert found.explanation is not None
        cells = np.empty(len(found), dtype=object)
        cells[:] = named(found.explanation, self.spec)
        return replace(self._with_p_value(found), cells=cells)

    def similar(self, x: Any, *, top: int | None = None, show: bool = False, strict: bool = False) -> Similar:
        """The `top` training rows of a kernel prior that are most similar to each row, with their weights.

        The rows themselves are in the result if the bundle was trained with privacy.show_exemplars = true.

        Args:
            x: rows.
            top: k, number of training rows per row, at most 5; None: 3, or all of fewer.
            show: whether to refuse a bundle that does not hold the training rows.
            strict: as in elbo.

        Raises:
            InputError: invalid rows or k, a model without a kernel prior or with folds, or a bundle that does not hold
                the rows to show.
        """
        return self.similar_checked(self._rows(x, strict), top=top, show=show)

    def tolerated(
        self, x: Any, *, alpha: float = 0.05, ignore: Mapping[str, Any] | None = None, strict: bool = False
    ) -> NDArray[np.object_]:
        """The tolerance rules that remove the alarm of each row: (N,) lists of column names.

        The list is empty for a row that is no anomaly at alpha, and for one whose alarm stays. Scores and p-values do
        not depend on rules.

        Args:
            x: rows.
            alpha: false-alarm rate of the verdict.
            ignore: rules by column, {"pressure": {"above": 0.2, "below": "any"}}: the largest deviations from the
                expected value that are not worth an alarm. None: the rules of the bundle.
            strict: as in elbo.

        Raises:
            InputError: invalid rows, alpha or rules.
        """
        rules = tolerances_of(self, None if ignore is None else parse_rules(ignore))
        rows = self._rows(x, strict)
        check_alpha(alpha)
        calibration = self.calibration()
        if rules is None or isinstance(calibration, str):  # no row has an alarm that a rule could remove
            return Tolerated(np.zeros((len(rows), 0), dtype=bool)).columns(())
        alarms = calibration.verdict(self.bound_checked(rows), alpha).is_anomaly
        assert alarms is not None  # alpha was given
        found = tolerated(self, rows[alarms], tolerances=rules, alpha=alpha)
        return found.of_alarms(alarms).columns(rules.names)

    def explain_checked(self, rows: NDArray[Any], *, top: int = 3) -> Explained:
        """Model.explain for checked rows."""
        return explain(self, rows, top=top)

    def similar_checked(self, rows: NDArray[Any], *, top: int | None = None, show: bool = False) -> Similar:
        """Model.similar for checked rows."""
        return similar(self, rows, top=top, show=show)

    def _rows(self, x: Any, strict: bool) -> NDArray[Any]:
        """Rows as the graphs take them; warns of columns that are ignored."""
        rows, other = encode_named(x, self.spec, strict=strict)
        other.warn(stacklevel=3)
        if strict:
            refuse_more_missing(rows, self.manifest)
        return rows

    def _with_p_value(self, found: B, num_samples: int | None = None, seed: int | None = None) -> B:
        calibration = self.calibration(num_samples, seed)
        if isinstance(calibration, str):
            return found
        verdict = calibration.verdict(found)
        return replace(found, p_value=verdict.p_value, group=verdict.group, group_pooled=verdict.group_pooled)


def _of_files(kind: type[Model], files: Mapping[str, bytes], options: Mapping[str, Any]) -> Model:
    return kind._opened(unpacked(files), **options)
