"""Makes the float16 graphs of a model, and measures their error.

The error on a GPU is estimated with torch on the CPU, which rounds to float16 after every operation. ONNX Runtime on
the CPU computes float16 networks in float32, so its error would be too small.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vaekit.bundle import AnyCalibration, find, publish
from vaekit.bundle.disk import temporary_folder
from vaekit.bundle.groups import Groups
from vaekit.bundle.manifest import Float16Graphs, Golden, Manifest, Metric, Operation, SignedFile
from vaekit.bundle.write import digest, npz
from vaekit.errors import GoldenMismatch, NotFinite
from vaekit.runtime import Elbo, Model
from vaekit_training import evaluate
from vaekit_training.data.rows import Rows
from vaekit_training.data.split import Splits
from vaekit_training.evaluate import ALPHA, verdicts
from vaekit_training.export import double, export_graphs, halved
from vaekit_training.export import evaluate as run_torch
from vaekit_training.held_out import by_torch, calibrated
from vaekit_training.vae import VAE

# The most frequent operations, all with continuous outputs. In the other operations rounding could change the most
# probable level of a category, or a drawn count.
OPERATIONS: tuple[Operation, ...] = ("encode", "bound", "elbo", "surprise")
GOLDEN_FILE = "golden.float16.npz"
LEAST = 1e-2  # smallest golden tolerance, relative
MOST_ROWS = 1000  # largest number of test rows that are scored in torch


@dataclass(frozen=True)
class Float16Bundle:
    """A bundle with float16 graphs."""

    manifest: Manifest  # with the measured error in its metrics
    files: dict[str, bytes]
    held_out: AnyCalibration  # from float16 scores


@dataclass(frozen=True)
class VerifiedGraphs:
    """Float16 graphs, with golden rows to verify them by."""

    vae: VAE  # the torch model with float16 networks
    half: Float16Graphs
    files: dict[str, bytes]


def add_graphs(
    vae: VAE,
    rows: Rows,
    splits: Splits,
    model: Model,
    manifest: Manifest,
    files: Mapping[str, bytes],
    held_out: AnyCalibration,
    groups: Groups | None = None,
) -> Float16Bundle | str:
    """A bundle with float16 graphs, verified, calibrated and measured; or the reason why there are no such graphs.

    Args:
        vae: the torch model in float32.
        rows: all rows.
        splits: indices of the rows of each split.
        model: the float32 graphs, loaded.
        manifest: manifest of the bundle without float16 graphs.
        files: files of that bundle.
        held_out: calibration from float32 scores.
        groups: its groups, if it has any.
    """
    try:
        made = make_graphs(vae, model, rows.x[splits.train[:3]])
        manifest, files = manifest.model_copy(update={"half": made.half}), {**files, **made.files}
        with temporary_folder() as draft:
            publish(draft, manifest, files)
            with Model.load(find(draft, manifest.name), device="cpu", precision="float16") as loaded:
                own = calibrated(loaded, rows, splits, groups)
        figures = measure(made.vae, model, rows.x[splits.test], held_out, own)
    except (NotFinite, GoldenMismatch) as exc:
        return f"no float16 graphs were written: {exc}"
    return Float16Bundle(manifest.model_copy(update={"metrics": {**manifest.metrics, **figures}}), files, own)


def make_graphs(vae: VAE, model: Model, x: NDArray[Any]) -> VerifiedGraphs:
    """Float16 graphs, and golden rows whose inputs are those of the bundle's golden rows.

    Args:
        vae: the torch model in float32.
        model: its float32 graphs, loaded.
        x: two or more raw rows to capture the operations with.

    Raises:
        NotFinite: a weight is too large for float16, or an output for a golden row is not finite.
    """
    half_vae = halved(vae)
    graphs = export_graphs(half_vae, torch.from_numpy(x), OPERATIONS)
    files = {graph.file.replace(".onnx", ".float16.onnx"): graph.data for graph in graphs.values()}
    signed = [SignedFile(file=name, sha256=digest(data)) for name, data in files.items()]
    golden, off = _golden(half_vae, graphs, model.bundle.golden())
    files[GOLDEN_FILE] = npz(golden)
    part = Golden(
        file=GOLDEN_FILE,
        sha256=digest(files[GOLDEN_FILE]),
        num_samples=model.manifest.golden.num_samples,
        tolerance=evaluate.tolerances(off, dict.fromkeys(model.manifest.golden.tolerance, LEAST)),
    )
    return VerifiedGraphs(
        half_vae, Float16Graphs(operations=dict(zip(graphs, signed, strict=True)), golden=part), files
    )


def _golden(
    half_vae: VAE, operations: Iterable[Operation], own: Mapping[str, NDArray[Any]]
) -> tuple[dict[str, NDArray[Any]], float]:
    """Golden arrays by name, and the largest `largest_off` of float16 networks.

    The reference has the same rounded weights, but computes in float64.
    """
    reference, worst = double(half_vae), 0.0
    arrays: dict[str, NDArray[Any]] = {}
    for operation in operations:
        inputs = {name: a for name, a in own.items() if name.startswith(f"{operation}.in.")}
        arrays |= inputs | {name: a for name, a in own.items() if name.startswith(f"{operation}.unit.")}
        feeds = {name.removeprefix(f"{operation}.in."): torch.from_numpy(a) for name, a in inputs.items()}
        want, got = run_torch(reference, operation, feeds), run_torch(half_vae, operation, feeds)
        for name, values in want.items():
            exact, rounded = values.numpy(), got[name].double().numpy()
            if not (np.isfinite(rounded).all() and np.isfinite(exact).all()):
                raise NotFinite(f"{operation}: {name} of a golden row is not finite in float16")
            worst = max(worst, evaluate.largest_off(rounded, exact, arrays.get(f"{operation}.unit.{name}")))
            arrays[f"{operation}.out.{name}"] = exact.astype(own[f"{operation}.out.{name}"].dtype)
    return arrays, worst


def measure(
    half_vae: VAE, model: Model, x: NDArray[Any], calibration: AnyCalibration, own: AnyCalibration
) -> dict[str, Metric]:
    """Metrics of the difference of the ELBO between float16 and the float32 graph, with the default draws.

    Args:
        half_vae: the torch model with float16 networks.
        model: the float32 graphs.
        x: test rows; only the first 1000 are used.
        calibration: calibration from float32 scores.
        own: calibration from float16 scores.

    Raises:
        NotFinite: the ELBO of a row is not finite in float16; the message names the row.
    """
    rows = x[:MOST_ROWS]
    float32 = model.elbo(rows)
    float16 = Elbo(**by_torch(half_vae, "elbo", model, rows), group_node=float32.group_node)
    if not np.isfinite(float16.elbo).all():
        raise NotFinite(f"the ELBO of test row {int((~np.isfinite(float16.elbo)).argmax())} is not finite in float16")
    off, dim = np.abs(float16.elbo - float32.elbo), model.spec.dim
    figures = {"max": (off.max(), "at most"), "p99": (np.quantile(off, 0.99), "in 99 % of rows at most")}
    found = {
        f"float16_elbo_{name}{of}": Metric(
            value=float(value / size), n=len(rows), unit=f"{unit} difference from float32, {how}"
        )
        for name, (value, how) in figures.items()
        for of, size, unit in (("", 1, "nats"), ("_per_dim", dim, "nats per dimension"))
    }
    if max(calibration.smallest_alpha, own.smallest_alpha) <= ALPHA:
        changed = float((verdicts(calibration, float32) != verdicts(own, float16)).sum())
        found["float16_verdicts"] = Metric(
            value=changed, n=len(rows), unit=f"rows whose verdict changes at alpha = {ALPHA}"
        )
    return found


def sentence(figures: Mapping[str, Metric]) -> str:
    """The measured error as one line of text."""
    most, p99 = figures["float16_elbo_max"], figures["float16_elbo_p99"]
    said = (
        f"float16: the ELBO of {most.n} test rows is off by at most {most.value:.3g} nats, 99 % by at most "
        f"{p99.value:.3g} ({figures['float16_elbo_max_per_dim'].value:.2g} and "
        f"{figures['float16_elbo_p99_per_dim'].value:.2g} per dimension)"
    )
    changed = figures.get("float16_verdicts")
    return said if changed is None else f"{said}; {changed.value:.0f} verdicts at alpha = {ALPHA} change"
