"""Loads one version of a trained VAE from its folder, and encodes, scores, explains, decodes and samples with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.bundle import Bundle, find, open_bundle, versions
from vaekit.bundle.calibration import check_alpha
from vaekit.bundle.manifest import Precision
from vaekit.bundle.models_folder import has_manifest
from vaekit.bundle.packed import packed, unpacked
from vaekit.bundle.tolerance import Tolerances
from vaekit.errors import InputError
from vaekit.runtime.device import DEFAULTS, Cuda
from vaekit.runtime.explain.explanation import explain
from vaekit.runtime.explain.similar import similar
from vaekit.runtime.explain.tolerance import Tolerated, tolerances_of, tolerated
from vaekit.runtime.of_steps import of_steps
from vaekit.runtime.operations import Operations
from vaekit.runtime.results import Bound, Decoded, Elbo, Explained, Posterior, RowArrays, Samples, Similar
from vaekit.tabular.explained_cells import named
from vaekit.tabular.novelty import refuse_more_missing
from vaekit.tabular.series import Steps, as_windows
from vaekit.tabular.windows import read_rows
from vaekit.tolerance_rules import parse_rules

B = TypeVar("B", bound=Bound)
R = TypeVar("R", bound=RowArrays)
EXPLAINED = 3  # cells of a row that an explanation names by default


@dataclass(frozen=True)
class _ToleratedRows(RowArrays):
    columns: NDArray[np.object_]  # (N,) lists of the columns whose rules remove the alarm


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

    A model of windows takes the time steps of series, (T, D), and gives one result per step, that of the window which
    ends there: NaN at steps that have no window, such as the first W - 1. It also takes windows, (N, W, D).
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
        """Free the graphs, and close the files of the bundle."""
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
        return self._of_rows(x, strict, self.encode_checked)

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

        def score(rows: NDArray[Any]) -> Elbo:
            found = self.elbo_checked(rows, num_samples=num_samples, seed=seed, features=features, eps=eps)
            return found if eps is not None else self._with_p_value(found, num_samples, seed)

        return self._of_rows(x, strict, score, eps)

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

        def score(rows: NDArray[Any]) -> Bound:
            found = self.bound_checked(rows, num_samples=num_samples, seed=seed, eps=eps)
            return found if eps is not None else self._with_p_value(found, num_samples, seed)

        return self._of_rows(x, strict, score, eps)

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

        def explained(rows: NDArray[Any]) -> Explained:
            found = explain(self, rows, top=min(EXPLAINED, self.spec.dim) if top is None else top)
            assert found.explanation is not None
            cells = np.empty(len(found), dtype=object)
            cells[:] = named(found.explanation, self.spec)
            return replace(self._with_p_value(found), cells=cells)

        return self._of_rows(x, strict, explained)

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
        return self._of_rows(x, strict, lambda rows: self.similar_checked(rows, top=top, show=show))

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
        check_alpha(alpha)
        return self._of_rows(x, strict, lambda rows: self._tolerated_checked(rows, rules, alpha)).columns

    def _tolerated_checked(self, rows: NDArray[Any], rules: Tolerances | None, alpha: float) -> _ToleratedRows:
        calibration = self.calibration()
        if rules is None or isinstance(calibration, str):  # no row has an alarm that a rule could remove
            return _ToleratedRows(Tolerated(np.zeros((len(rows), 0), dtype=bool)).columns(()))
        alarms = calibration.verdict(self.bound_checked(rows), alpha).is_anomaly
        assert alarms is not None  # alpha was given
        found = tolerated(self, rows[alarms], tolerances=rules, alpha=alpha)
        return _ToleratedRows(found.of_alarms(alarms).columns(rules.names))

    def decode(self, z: ArrayLike, member: ArrayLike | None = None) -> Decoded:
        """Parameters of p(x|z), raw units, for latents z (N, Z); of a model of windows (N, W, D).

        Args:
            z: latents.
            member: (N,), the member that decodes each row, 0..M-1; needed if the model has members.

        Raises:
            InputError: z is not (N, Z) with N >= 1, or has a value that is not a number within +-1e6 (with a kernel
                prior +-1e30); or invalid members.
        """
        found = self.decode_rows(z, member)
        mean, scale, df = (as_windows(a, self.spec) for a in (found.mean, found.scale, found.df))
        assert mean is not None
        return replace(found, mean=mean, scale=scale, df=df)

    def sample(self, n: int, *, seed: int, temperature: float = 1.0, observe: bool = False) -> Samples:
        """n draws of the model: z ~ p(z), and x = E[x|z], or x ~ p(x|z) if observe is true; windows are (n, W, D).

        A larger n gives the same first rows. The temperature scales the noise that goes into the prior.

        Raises:
            InputError: n < 1, or a temperature that is below 0, not finite, or below the manifest's least_temperature,
                which is 1 for a prior made of training rows, unless the bundle allows less.
        """
        found = self.sample_rows(n, seed=seed, temperature=temperature, observe=observe)
        samples = as_windows(found.samples, self.spec)
        assert samples is not None
        return replace(found, samples=samples)

    def explain_checked(self, rows: NDArray[Any], *, top: int = 3) -> Explained:
        """Model.explain for checked rows."""
        return explain(self, rows, top=top)

    def similar_checked(self, rows: NDArray[Any], *, top: int | None = None, show: bool = False) -> Similar:
        """Model.similar for checked rows."""
        return similar(self, rows, top=top, show=show)

    def _of_rows(
        self,
        x: Any,
        strict: bool,
        call: Callable[[NDArray[Any]], R],
        eps: NDArray[np.floating] | None = None,
    ) -> R:
        """The result of a call on rows as the graphs take them; warns of columns that are ignored.

        Of the time steps of series the windows are made block by block, and the result has an entry for each step.
        """
        rows, other = read_rows(x, self.spec, strict=strict)
        other.warn(stacklevel=3)
        if isinstance(rows, Steps):
            if eps is not None and eps.ndim == 3:
                raise InputError("eps: (N, K, Z) is for windows; with the time steps of a series give (K, Z)")
            assert self.spec.window is not None
            return of_steps(rows, self.spec.window, call, self.manifest.most_missing if strict else None)
        if strict:
            refuse_more_missing(rows, self.manifest.most_missing)
        return call(rows)

    def _with_p_value(self, found: B, num_samples: int | None = None, seed: int | None = None) -> B:
        calibration = self.calibration(num_samples, seed)
        if isinstance(calibration, str):
            return found
        verdict = calibration.verdict(found)
        return replace(found, p_value=verdict.p_value, group=verdict.group, group_pooled=verdict.group_pooled)


def _of_files(kind: type[Model], files: Mapping[str, bytes], options: Mapping[str, Any]) -> Model:
    return kind._opened(unpacked(files), **options)
