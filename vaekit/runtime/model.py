"""One version of a trained VAE: loaded from its folder, asked with rows of any kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import Bundle, open_bundle, versions
from vaekit.bundle.manifest import MANIFEST_FILE, Precision
from vaekit.bundle.packed import packed, unpacked
from vaekit.runtime.device import DEFAULTS, Cuda
from vaekit.runtime.explain.explanation import explain
from vaekit.runtime.operations import Operations
from vaekit.runtime.results import Bound, Elbo, Explained, Posterior
from vaekit.tabular import encode


class Model(Operations):
    """One version of a trained VAE on ONNX Runtime.

    >>> model = Model.load("models/breast-cancer")
    >>> model.encode(rows).mu.shape
    (2, 8)

    Rows are in raw units and may be given as anything that `vaekit.tabular.encode` takes. Answers do not depend on the
    rows around them (to 1e-5 relative). Calls from several threads are safe.
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
        """Open, verify and replay a version's folder, or the latest version in a model's folder.

        Args:
            path: models/<name>/<version> or models/<name>.
            device: "auto", "cpu", "cuda" or "cuda:<index>".
            threads: that share one call of a graph on the CPU, the caller's among them; each graph has its others to
                itself, asleep between calls. None: one per core this process may use, 8 at most.
            precision: of the networks; "float16" is for cards, and takes a bundle that has such graphs.
            cuda: what holds on a CUDA device.

        Raises:
            BundleError, DeviceError, MissingExtra: see those.
        """
        folder = Path(path)
        if not (folder / MANIFEST_FILE).is_file() and (known := versions(folder.parent, folder.name)):
            folder = folder / str(known[-1])
        return cls._opened(open_bundle(folder), device=device, threads=threads, precision=precision, cuda=cuda)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled and copied as the bundle's files, which are verified and replayed as those of a folder are."""
        return _of_files, (type(self), packed(self.bundle), self._options)

    @classmethod
    def _opened(cls, bundle: Bundle, **options: Any) -> Self:
        """The model over a bundle, which is closed where that fails."""
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

    def encode(self, x: Any) -> Posterior:
        """q(z|x) = N(mu, sigma^2) of each row.

        Raises:
            InputError: rows that the model does not take; see vaekit.tabular.encode.
        """
        return self.encode_checked(encode(x, self.spec))

    def elbo(
        self,
        x: Any,
        *,
        num_samples: int | None = None,
        seed: int | None = None,
        features: bool = False,
        eps: NDArray[np.floating] | None = None,
    ) -> Elbo:
        """ELBO of each row in nats, in the data's own units, with its two terms and the importance-weighted bound.

            elbo         = E_q[log p(x|z)] - KL(q(z|x) || p(z))
            log_evidence = log (1/K) sum_k p(x|z_k) p(z_k) / q(z_k|x),   z_k = mu + sigma eps_k

        Args:
            x: rows.
            num_samples: K; None: the manifest's default.
            seed: draws of one's own, shared by all rows; None: the published default draws.
            features: also the log-likelihood of each feature.
            eps: draws given outright, (K, Z) or (N, K, Z), in place of the two above.

        Raises:
            InputError: rows, K or eps that do not fit.
        """
        rows = encode(x, self.spec)
        return self.elbo_checked(rows, num_samples=num_samples, seed=seed, features=features, eps=eps)

    def bound(
        self,
        x: Any,
        *,
        num_samples: int | None = None,
        seed: int | None = None,
        eps: NDArray[np.floating] | None = None,
    ) -> Bound:
        """elbo and its two terms alone, all that a score needs; under an aggregate prior, for a fraction of the work.

        Args:
            x, num_samples, seed, eps: as of elbo.

        Raises:
            InputError: rows, K or eps that do not fit.
        """
        return self.bound_checked(encode(x, self.spec), num_samples=num_samples, seed=seed, eps=eps)

    def surprise(self, x: Any, *, num_samples: int | None = None, seed: int | None = None) -> Elbo:
        """elbo with the log-likelihood of each feature: which cell is odd."""
        return self.elbo(x, num_samples=num_samples, seed=seed, features=True)

    def explain(self, x: Any, *, top: int = 3) -> Explained:
        """elbo, and of each row its `top` most anomalous cells: how surprising, and what was expected; default draws.

        A cell's surprise is compared with those of the same feature in held-out rows, since two features' are in units
        of their own. The expected value is what the row without the cell lets expect.

        Args:
            x: rows.
            top: k, cells of each row.

        Raises:
            InputError: rows or k that do not fit, or a model without surprises of held-out rows.
        """
        return explain(self, encode(x, self.spec), top=top)

    def explain_checked(self, rows: NDArray[Any], *, top: int = 3) -> Explained:
        """explain of checked rows."""
        return explain(self, rows, top=top)


def _of_files(kind: type[Model], files: Mapping[str, bytes], options: Mapping[str, Any]) -> Model:
    return kind._opened(unpacked(files), **options)
