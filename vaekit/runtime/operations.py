"""Runs the operations of a loaded bundle on checked rows, with its graphs, draws and calibrations on one device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.bundle import AnyCalibration, Bundle, Manifest
from vaekit.bundle.groups import Groups
from vaekit.bundle.heldout import Surprises
from vaekit.bundle.input_spec import ImageSpec, VectorSpec
from vaekit.bundle.manifest import Operation, Precision
from vaekit.bundle.tolerance import Tolerances
from vaekit.errors import InputError, NotFinite
from vaekit.runtime.buckets import buckets
from vaekit.runtime.device import CUDA, DEFAULTS, Cuda, CudaMemory, cuda_memory, parse_device
from vaekit.runtime.eps import EpsDraws
from vaekit.runtime.golden import replay
from vaekit.runtime.latents import MAX_LATENT, check_latents, check_members
from vaekit.runtime.results import Bound, CellElbo, Decoded, Elbo, MostSimilar, Posterior, Samples, in_chunks
from vaekit.runtime.row_feeds import RowFeeds
from vaekit.runtime.sampling import SampleDraws
from vaekit.runtime.session import open_graph
from vaekit.tabular.groups import RowGroups, row_groups

MAX_ELEMENTS = 2**19  # limit of N * K * (width of the widest layer) in one call: fits the caches and bounds memory
MAX_ELEMENTS_CUDA = 2**23  # the limit on a GPU, which needs many rows at once to be busy

B = TypeVar("B", bound=Bound)


class Operations:
    """The graphs of one bundle as functions of arrays.

    Methods named *_checked take arrays from `vaekit.tabular.encode` for the model's input spec and do not check them
    again, so that rows of a file or a request are checked once. `Model` takes unchecked rows. Calls from several
    threads are safe.
    """

    _row_groups: RowGroups | None = None  # of the calibration; None: it has no groups

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: str = "auto",
        threads: int | None = None,
        precision: Precision = "float32",
        cuda: Cuda = DEFAULTS,
    ) -> None:
        """Open the graphs of a verified bundle and replay its golden rows. The model then owns the bundle.

        Raises:
            BundleError: float16, but the bundle has no float16 graphs.
            DeviceError: the requested device is not available.
            GoldenMismatch: the graphs do not reproduce the golden outputs on this machine.
        """
        self.bundle = bundle
        self.manifest: Manifest = bundle.manifest
        self.spec: VectorSpec | ImageSpec = bundle.manifest.input
        self.precision: Precision = precision
        self._options = {"device": device, "threads": threads, "precision": precision, "cuda": cuda}
        files = bundle.graphs(precision)
        self.graphs = {
            operation: open_graph(files[operation], graph, device, threads, cuda)
            for operation, graph in self.manifest.operations.items()
        }
        self._index = parse_device(device)[1]
        self._eps = EpsDraws(bundle.base_draws(), self.manifest.draws.default, self.manifest.draws.rule)
        self._calibrations = bundle.calibrations()
        self.tolerances = Tolerances.of(self.manifest.ignore or {}, self.spec)  # the bundle's rules; None: it has none
        self.surprises: Surprises | None = bundle.surprises()  # of features and of the KL; None before format 1.1
        self.exemplars = bundle.exemplars()  # the training rows of the prior; None: the bundle does not show them
        self._width = max(self.spec.dim, self.manifest.latent_dim, self.manifest.width)  # of the widest layer
        self._components = self.manifest.components
        self._row_feeds = RowFeeds(self.manifest, self.surprises)
        self._row_groups = row_groups(self.manifest)
        replay(self.run, bundle, self.providers, precision)

    @property
    def providers(self) -> tuple[str, ...]:
        """The execution providers of the graphs, the preferred one first."""
        return next(iter(self.graphs.values())).providers

    @cached_property
    def device(self) -> Literal["cpu", "cuda"]:
        """The kind of device that the graphs run on."""
        return "cuda" if CUDA in self.providers else "cpu"

    @property
    def device_memory(self) -> CudaMemory | None:
        """The memory of the CUDA device; None on a CPU, and if CUDA does not report it."""
        return cuda_memory(self._index) if self.device == "cuda" else None

    @property
    def device_name(self) -> str:
        """cpu, or cuda: and the index of the device."""
        return f"cuda:{self._index}" if self.device == "cuda" else self.device

    def run(self, operation: Operation, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Call one graph once; returns its outputs by name.

        Raises:
            InputError: the bundle does not have this operation.
            NotFinite: an output contains NaN or an infinity.
        """
        if operation not in self.graphs:
            raise InputError(f"{self.manifest.name} has no operation {operation}; it has {', '.join(self.graphs)}")
        graph = self.graphs[operation]
        most = self.rows_at_once(operation, feeds["eps"].shape[1] if "eps" in feeds else 1)
        found = dict(zip(graph.outputs, graph.run(feeds, most), strict=True))
        for name, values in found.items():
            if not np.isfinite(values).all():
                row = int(np.argwhere(~np.isfinite(values))[0][0])
                raise NotFinite(f"{self.manifest.name}: {operation}: row {row}: output {name} is not finite")
        return found

    def warm_up_calls(self, most_rows: int) -> list[Callable[[], None]]:
        """Functions to call once before serving batches of up to `most_rows` rows, in the thread that runs the batches.

        On CUDA each function runs one graph with one padded number of rows and the default draws, so that buffers and
        kernels are ready before the first request. On a CPU the list is empty.
        """
        if self.device == "cpu":
            return []
        k = self.manifest.draws.default
        return [
            partial(graph.warm, rows, k)
            for operation, graph in self.graphs.items()
            for rows in buckets(most_rows, self.rows_at_once(operation, k if graph.takes_draws else 1))
        ]

    def encode_checked(self, rows: NDArray[Any]) -> Posterior:
        """q(z|x) = N(mu, sigma^2) of each checked row."""
        draws = self.draws() if self.graphs["encode"].takes_draws else None
        chunk = self.rows_at_once("encode")

        def run_chunk(at: slice) -> dict[str, Any]:
            feeds = self._row_feeds.feeds("encode", rows[at])
            if draws is not None:
                feeds["eps"] = np.ascontiguousarray(np.broadcast_to(draws, (len(feeds["x"]), *draws.shape)))
            return self.run("encode", feeds)

        return in_chunks(Posterior, len(rows), chunk, run_chunk)

    def decode_rows(self, z: ArrayLike, member: ArrayLike | None = None) -> Decoded:
        """Parameters of p(x|z), raw units, for latents z (N, Z), with the cells of windows in one row, (N, W D).

        Args:
            z: latents.
            member: (N,), the member that decodes each row, 0..M-1; needed if the model has members.

        Raises:
            InputError: z is not (N, Z) with N >= 1, or has a value that is not a number within +-1e6 (with a kernel
                prior +-1e30); or invalid members.
        """
        latents = check_latents(z, self.manifest)
        which = check_members(member, len(latents), self.manifest)

        def run_chunk(at: slice) -> dict[str, Any]:
            return self.run("decode", {"z": latents[at], **_at(which, at)})

        return in_chunks(Decoded, len(latents), self.rows_at_once("decode"), run_chunk)

    def sample_rows(self, n: int, *, seed: int, temperature: float = 1.0, observe: bool = False) -> Samples:
        """n draws of the model: z ~ p(z), and x = E[x|z], or x ~ p(x|z) if observe is true. Windows are rows (n, W D).

        A larger n gives the same first rows. The temperature scales the noise that goes into the prior.

        Raises:
            InputError: n < 1, or a temperature that is below 0, not finite, or below the manifest's least_temperature,
                which is 1 for a prior made of training rows, unless the bundle allows less.
        """
        if n < 1:
            raise InputError(f"n: {n} is not at least 1")
        draws = SampleDraws(self.manifest, seed, temperature=temperature, observe=observe)

        def run_chunk(at: slice) -> dict[str, Any]:
            return self._samples(draws.rows(at.start, at.stop))

        return in_chunks(Samples, n, self.rows_at_once("prior"), run_chunk)

    def samples_from_draws(self, draws: Mapping[str, NDArray[Any]]) -> Samples:
        """Samples computed from rows of `sampling.SampleDraws`; the rows may come from several seeds."""
        n = len(draws["noise"])
        return in_chunks(Samples, n, self.rows_at_once("prior"), lambda at: self._samples(_at(draws, at)))

    def _samples(self, draws: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        wanted = {tensor.name for tensor in self.manifest.operations["prior"].inputs}
        member = {name: a for name, a in draws.items() if name == "member"}
        z = self.run("prior", {name: a for name, a in draws.items() if name in wanted})["z"]
        latents = np.clip(z, -MAX_LATENT, MAX_LATENT)  # (n, Z)
        if "normals" in draws:
            x = self.run("observe", {"z": latents, "noise": draws["normals"], **member})["x"]
        else:
            x = self.run("decode", {"z": latents, **member})["mean"]
        return {"latents": latents, "samples": x, "members": draws.get("member")}

    def elbo_checked(
        self,
        rows: NDArray[Any],
        *,
        num_samples: int | None = None,
        seed: int | None = None,
        features: bool = False,
        eps: NDArray[np.floating] | None = None,
    ) -> Elbo:
        """Model.elbo for checked rows."""
        draws = self.draws(num_samples, seed) if eps is None else self._eps.check(eps, len(rows))
        return self._bound(Elbo, "surprise" if features else "elbo", rows, draws)

    def cells_checked(self, rows: NDArray[Any]) -> CellElbo:
        """elbo_checked on the default draws with features, and where the graph has them the predictions of cells."""
        return self._bound(CellElbo, "surprise", rows, self.draws())

    def exemplars_checked(self, rows: NDArray[Any]) -> MostSimilar:
        """The exemplars of a kernel prior that are most similar to each checked row; see most_similar."""
        return self._bound(MostSimilar, "surprise", rows, self.draws())

    def bound_checked(
        self,
        rows: NDArray[Any],
        *,
        num_samples: int | None = None,
        seed: int | None = None,
        eps: NDArray[np.floating] | None = None,
    ) -> Bound:
        """Model.bound for checked rows."""
        draws = self.draws(num_samples, seed) if eps is None else self._eps.check(eps, len(rows))
        return self._bound(Bound, "bound" if "bound" in self.graphs else "elbo", rows, draws)

    def _bound(self, kind: type[B], operation: Operation, rows: NDArray[Any], draws: NDArray[np.float32]) -> B:
        """A result of type `kind` for checked rows and draws (K, Z) or (N, K, Z), from the outputs of one graph."""
        wanted = kind.names()
        chunk = self.rows_at_once(operation, draws.shape[-2])
        shared = draws.ndim == 2
        if shared:
            draws = np.ascontiguousarray(np.broadcast_to(draws, (min(chunk, len(rows)), *draws.shape)))

        def run_chunk(at: slice) -> dict[str, Any]:
            eps = draws[: at.stop - at.start] if shared else draws[at]
            found = self._row_feeds.score(operation, rows[at], eps, self._in_calls)
            return {name: a for name, a in found.items() if name in wanted}

        bound = in_chunks(kind, len(rows), chunk, run_chunk)
        return bound if self._row_groups is None else replace(bound, group_node=self._row_groups.nodes(rows))

    def group_nodes(self, rows: NDArray[Any]) -> NDArray[np.int64] | None:
        """The node of each checked row's calibration group, (N,); None: the calibration has no groups."""
        return None if self._row_groups is None else self._row_groups.nodes(rows)

    def group_by(self, groups: Groups | None) -> None:
        """Find the nodes of rows in these groups from now on, before the bundle has a calibration by them."""
        if groups is not None:
            assert isinstance(self.spec, VectorSpec)  # images have no columns to group by
            self._row_groups = RowGroups(groups, self.spec)

    def compare_cells_with(self, surprises: Surprises) -> None:
        """Explain rows by these held-out surprises from now on, before the bundle has a file of them."""
        self.surprises = surprises

    def _in_calls(self, operation: Operation, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The outputs of a graph for any number of rows with draws, in as many calls as needed."""
        n, k, _ = feeds["eps"].shape
        most = self.rows_at_once(operation, k)
        if n <= most:
            return self.run(operation, feeds)
        calls = [self.run(operation, _at(feeds, slice(start, start + most))) for start in range(0, n, most)]
        return {name: np.concatenate([call[name] for call in calls]) for name in calls[0]}

    def draws(self, num_samples: int | None = None, seed: int | None = None) -> NDArray[np.float32]:
        """eps (K, Z): the default draws, or draws from a seed.

        Raises:
            InputError: K is not between 2 and the manifest's K_max.
        """
        return self._eps.draw(num_samples, seed)

    def calibration(self, num_samples: int | None = None, seed: int | None = None) -> AnyCalibration | str:
        """The calibration for scores on these draws. If there is none, the reason as text."""
        if not self._calibrations:
            return f"the model has no calibration; {self._calibrate('')} makes one"
        if seed is not None:
            return "the request sets a seed, but p-values need the default draws; leave the seed out"
        k = self.manifest.draws.default if num_samples is None else num_samples
        own = {e.num_samples: c for e, c in self._calibrations.items() if e.precision == self.precision}
        if k in own:
            return own[k]
        if not own:
            return f"the {self.precision} graphs have no calibration; {self._calibrate('')} makes one"
        more = self._calibrate("".join(f" --num-samples {each}" for each in (*own, k)))
        return f"num_samples {k} has no calibration; calibrated: {', '.join(map(str, own))}; {more} has it too"

    def _calibrate(self, options: str) -> str:
        return f"vae calibrate {self.manifest.name} HELD_OUT_ROWS{options}"

    @cached_property
    def predicts_cells(self) -> bool:
        """Whether one graph predicts each cell from the others, as with a kernel prior."""
        return "feature_expected" in self._surprise_shapes

    @cached_property
    def most_similar(self) -> int:
        """The number of exemplars that the graph names for each row; 0: it names none."""
        return int(self._surprise_shapes["exemplar"][1]) if "exemplar" in self._surprise_shapes else 0

    @cached_property
    def _surprise_shapes(self) -> dict[str, tuple[int | str, ...]]:
        """The shapes of the outputs of the surprise graph by name; empty without such a graph."""
        graph = self.manifest.operations.get("surprise")
        return {tensor.name: tensor.shape for tensor in graph.outputs} if graph else {}

    def bits_per_dim(self, bound: Bound) -> NDArray[np.float64] | None:
        """-elbo / (D ln 2), (N,), if the likelihood is over pixels, else None."""
        if self.manifest.likelihood.bits_per_dim_of is None:
            return None
        return np.asarray(bound.score / (self.spec.dim * np.log(2.0)))

    def rows_at_once(self, operation: Operation, num_samples: int = 1) -> int:
        """The maximum number of rows in one call of an operation's graph, with K draws per row if it takes draws."""
        if operation == "encode" and self.graphs["encode"].takes_draws:
            num_samples = self.manifest.draws.default
        widest = num_samples * self._width
        densities = num_samples if operation in ("elbo", "surprise") else 1  # evaluations of the prior per row
        if operation == "surprise" and self.predicts_cells:
            densities += self.manifest.latent_dim
        most = MAX_ELEMENTS_CUDA if self.device == "cuda" else MAX_ELEMENTS
        return max(1, most // max(widest, densities * self._components))


def _at(arrays: Mapping[str, NDArray[Any]], at: slice) -> dict[str, NDArray[Any]]:
    return {name: a[at] for name, a in arrays.items()}
