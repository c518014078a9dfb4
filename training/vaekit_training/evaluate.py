"""Measures an exported model before it is published: parity with torch, calibration, metrics.

Scores come from the exported graphs with the default draws. Means over rows use independent draws for each row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vaekit.bundle import AnyCalibration
from vaekit.bundle.comparison import rank_score
from vaekit.bundle.manifest import Metric, Operation, Tolerance
from vaekit.bundle.ranking import auroc
from vaekit.errors import TrainingError
from vaekit.runtime import Bound, Elbo, Model
from vaekit.runtime.golden import ANY
from vaekit_training.data.split import Splits
from vaekit_training.export import ExportedGraph, double, elbo_names, evaluate, evaluate_in_parts, graph_inputs
from vaekit_training.export.reference import CELLS, EXEMPLAR, WEIGHT, has_cells
from vaekit_training.folds import AnyVAE
from vaekit_training.loop.tracking import ACTIVE

LARGEST_PARITY = 1e-4  # largest error of graphs against torch in float64, nats per dimension; relative above 1 nat
ALPHA = 0.05  # false-alarm rate used in metrics and reports
PARITY_ROWS = 256  # validation rows that parity is measured on,
PREDICTED_ROWS = 16  # if the graph predicts each cell from the others, which takes much more memory
NUDGE, REDRAWS = 1e-4, 50  # size of the change that golden draws must tolerate, and largest number of new draws
QUADRATURE_ROWS, QUADRATURE_CELLS = 256, 2**26  # limits of the test rows N, and of N K x the widest layer
MARGIN = 4.0  # golden tolerance divided by the rounding error measured at export
APART = 1e-2  # |log w - log w'| / (1 + |log w|) of weights of exemplars whose order rounding cannot change


def parity(model: Model, vae: AnyVAE, x: NDArray[Any]) -> float:
    """Largest |graph - torch in float64| over the terms of the bound of rows x (N, ...), in nats per dimension.

    Terms above 1 nat per dimension are compared relative to their size, because novel rows can have very large terms.
    With members the size is that of the ELBO, because the members' weights depend on differences of their ELBOs.

    Raises:
        TrainingError: the difference is above 1e-4, so that the bundle must not be published; the message names the
            worst row.
    """
    rows = x[: PARITY_ROWS if not has_cells(vae) else PREDICTED_ROWS]
    feeds = graph_inputs(vae, torch.from_numpy(rows), model.manifest.draws.default, seed=1)
    most = model.rows_at_once("surprise", model.manifest.draws.default)
    want = evaluate_in_parts(double(vae), "surprise", feeds["surprise"], most)
    got = model.elbo(rows, eps=feeds["surprise"]["eps"].numpy(), features=True).arrays()
    dims = dict.fromkeys(elbo_names(vae), vae.features.dim)
    worst, where = 0.0, ""
    for name in (*dims, "feature_log_likelihood"):
        exact = want[name].numpy().reshape(got[name].shape) / dims.get(name, 1)
        size = np.maximum(1.0, np.abs(exact))
        if vae.members > 1:
            size = np.maximum(
                size, np.abs(want["elbo"].numpy()).reshape(-1, *[1] * (exact.ndim - 1)) / vae.features.dim
            )
        off = np.abs(got[name] / dims.get(name, 1) - exact) / size
        if not np.isfinite(off).all():
            raise TrainingError(f"parity: {name} of a validation row is not finite, in the graphs or in torch")
        if not off.max() <= worst:
            worst, where = float(off.max()), f"{name} of validation row {int(np.argwhere(off == off.max())[0][0])}"
    if not worst <= LARGEST_PARITY:
        raise TrainingError(
            f"parity: the graphs differ from torch by {worst:.3g} nats per dimension (> {LARGEST_PARITY:g}), {where}"
        )
    return worst


def golden(
    vae: AnyVAE, graphs: dict[Operation, ExportedGraph], x: NDArray[Any], num_samples: int
) -> tuple[dict[str, NDArray[Any]], float]:
    """The golden arrays: inputs from rows x, the outputs of torch in float64, and units of outputs, by name.

    Also returns the largest `largest_off` between torch in float32 and in float64, over the finite outputs in nats.
    """
    reference = double(vae)
    feeds = graph_inputs(vae, torch.from_numpy(x), num_samples, seed=2)
    feeds["observe"]["noise"] = _stable_noise(reference, feeds["observe"])
    arrays: dict[str, NDArray[Any]] = {}
    for operation, graph in graphs.items():
        outputs = evaluate(reference, operation, feeds[operation])
        arrays |= {f"{operation}.in.{name}": a.numpy() for name, a in feeds[operation].items()}
        for tensor in graph.outputs:
            arrays[f"{operation}.out.{tensor.name}"] = outputs[tensor.name].numpy().astype(tensor.dtype)
        if EXEMPLAR in outputs:
            settled = settled_exemplars(outputs[WEIGHT].numpy())
            arrays[f"{operation}.out.{EXEMPLAR}"] = np.where(settled, outputs[EXEMPLAR].numpy(), ANY)
    arrays |= {f"{op}.unit.{name}": unit for op, name, unit in _units(vae) if f"{op}.out.{name}" in arrays}
    rounded = evaluate(vae, "surprise", feeds["surprise"])  # all outputs in nats
    found = [
        largest_off(a.numpy(), arrays[f"surprise.out.{name}"], arrays.get(f"surprise.unit.{name}"))
        for name, a in rounded.items()
        if name != EXEMPLAR
    ]
    return arrays, max((one for one in found if np.isfinite(one)), default=0.0)


def settled_exemplars(weight: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which exemplars of each row no other can replace by rounding, (N, k), from their weights, (N, k) descending.

    Equal training rows have equal weights. The last one might be equal to one that is not among the k.
    """
    log_weight = np.log(np.maximum(weight, np.finfo(np.float64).tiny))
    apart = log_weight[:, :-1] - log_weight[:, 1:] > APART * (1.0 + np.abs(log_weight[:, :-1]))  # (N, k - 1)
    edge = np.ones((len(weight), 1), dtype=bool)
    settled: NDArray[np.bool_] = np.hstack([edge, apart]) & np.hstack([apart, ~edge])
    return settled


def largest_off(got: NDArray[Any], want: NDArray[Any], unit: NDArray[Any] | None) -> float:
    """The largest |got - want| / (unit + |want|), with unit 1 if it is None; NaN if any value is not finite."""
    exact = want.astype(np.float64)
    return float((np.abs(got.astype(np.float64) - exact) / ((1.0 if unit is None else unit) + np.abs(exact))).max())


def tolerances(worst: float, least: dict[str, float]) -> dict[str, Tolerance]:
    """Golden tolerance of each ONNX Runtime provider: max(least[provider], MARGIN * worst).

    Another machine may add numbers in another order, which changes rounding errors. Those of log p(x_d|z) are divided
    by the column's scale. If the scale is small, an anomalous cell can lose more than the seven digits of float32.

    Args:
        worst: rounding error measured at export, relative.
        least: smallest tolerance by provider.
    """
    allowed = {provider: max(one, MARGIN * worst) for provider, one in least.items()}
    return {provider: Tolerance(relative=one, absolute=one) for provider, one in allowed.items()}


def _stable_noise(reference: AnyVAE, feeds: dict[str, torch.Tensor]) -> torch.Tensor:
    """Noise (N, D, 2) from which discrete values are drawn far from a rounding boundary; other noise is drawn again."""
    noise = feeds["noise"].clone()
    generator = torch.Generator().manual_seed(3)
    steps = ~reference.features.density  # (D,)
    for _ in range(REDRAWS):
        low, high = (
            evaluate(reference, "observe", {**feeds, "noise": noise + shift})["x"].flatten(1)
            for shift in (-NUDGE, NUDGE)
        )
        off = (low != high) & steps  # (N, D)
        if not off.any():
            break
        noise = torch.where(off[..., None], torch.randn(noise.shape, generator=generator), noise)
    return noise


def _units(vae: AnyVAE) -> list[tuple[Operation, str, NDArray[np.float64]]]:
    """Operation, output name and unit of each output that is not compared in units of 1."""
    one = vae.features.unit()
    nats = np.full((), float(vae.features.dim))
    units: list[tuple[Operation, str, NDArray[np.float64]]] = [("observe", "x", one), ("decode", "mean", one)]
    if "scale" in vae.likelihood.parameters_in_raw_units:
        of_one = vae.features.to_raw_scale(torch.ones(vae.features.dim, dtype=torch.float64))
        units.append(("decode", "scale", of_one.numpy()))
    for operation in ("bound", "elbo", "surprise"):
        units += [(operation, name, nats) for name in elbo_names(vae)]
    units += [("surprise", name, one) for name in CELLS]
    return units


def independent(model: Model, x: NDArray[Any], seed: int) -> Elbo:
    """The bound of rows x (N, ...) with independent draws for each row, so that the mean has a standard error."""
    k = model.manifest.draws.default
    eps = np.random.default_rng(seed).standard_normal((len(x), k, model.manifest.latent_dim))
    return model.elbo(x, eps=eps)


def metrics(model: Model, x: NDArray[Any], splits: Splits, calibration: AnyCalibration, seed: int) -> dict[str, Metric]:
    """Metrics by name: of the test rows, and of labelled anomalies if there are any."""
    bound = independent(model, x[splits.test], seed)
    found = {name: _mean(getattr(bound, name), "nats") for name in ("elbo", "log_likelihood", "kl", "log_evidence")}
    bits = model.bits_per_dim(bound)
    if bits is not None:
        found["bits_per_dim"] = _mean(bits, "bits")
    normal = model.bound(x[splits.test])
    if calibration.smallest_alpha <= ALPHA:
        found["false_alarm_rate"] = _mean(verdicts(calibration, normal), f"share of normal rows at alpha = {ALPHA}")
    if len(splits.anomalies):
        found |= _against_anomalies(model, x[splits.anomalies], normal, calibration)
    mu = model.encode(x[splits.test]).mu  # (N, Z), or (N, M, Z)
    active = float((mu.var(axis=0) > ACTIVE).sum() / model.manifest.members)
    of_each = " of each member, their mean" if model.manifest.members > 1 else ""
    found["active_units"] = Metric(value=active, unit=f"of {model.manifest.latent_dim} latent dimensions{of_each}")
    return found


def quadrature(model: Model, x: NDArray[Any], eps: NDArray[np.float64]) -> dict[str, Metric]:
    """Metrics of the error of the default draws: their ELBO of rows x (N, ...) minus that of many other draws eps.

    All rows share the default draws, so the error has a mean that is not 0. Only as many rows are used as
    QUADRATURE_CELLS allows.
    """
    rows = x[: min(QUADRATURE_ROWS, max(2, QUADRATURE_CELLS // (len(eps) * model.manifest.width)))]
    off = model.bound(rows).elbo - model.bound(rows, eps=eps).elbo  # (N,)
    what = f"nats, ELBO of {model.manifest.draws.default} default draws minus ELBO of {len(eps)} others"
    bias, error = _mean(off, what), float(np.sqrt(np.square(off).mean()))
    return {
        "quadrature_bias": bias,
        "quadrature_error": Metric(value=error, n=len(off), unit=f"{what}, root mean square"),
    }


def _against_anomalies(
    model: Model, anomalies: NDArray[Any], normal: Bound, calibration: AnyCalibration
) -> dict[str, Metric]:
    scored = model.bound(anomalies)
    ranks = [rank_score(each.score, each.novel) for each in (normal, scored)]  # novel rows above all others
    found = {
        "auroc": Metric(value=auroc(*ranks)[0], n=len(normal) + len(scored), unit="anomalies against normal test rows")
    }
    if calibration.smallest_alpha <= ALPHA:
        found["detection_rate"] = _mean(verdicts(calibration, scored), f"share of anomalies at alpha = {ALPHA}")
    return found


def verdicts(calibration: AnyCalibration, scored: Bound) -> NDArray[np.float64]:
    """1 for each row that is an anomaly at ALPHA, else 0, (N,)."""
    is_anomaly = calibration.verdict(scored, ALPHA).is_anomaly
    assert is_anomaly is not None  # alpha was given
    return is_anomaly.astype(float)


def _mean(values: NDArray[np.float64], unit: str) -> Metric:
    """Mean and standard error of values (N,); no standard error if all values are equal."""
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
    return Metric(value=float(values.mean()), standard_error=error or None, n=len(values), unit=unit)
