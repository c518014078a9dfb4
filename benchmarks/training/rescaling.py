"""Checks that x -> a x + b in every column shifts an exported ELBO by -sum log|a|."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from benchmarks.plan import Plan
from benchmarks.report import Figure, Measured
from vaekit_training.build import build
from vaekit_training.config import Config, make_config
from vaekit_training.data.load import Rows
from vaekit_training.export import export_graphs
from vaekit_training.run import run
from vaekit_training.trained import Trained
from vaekit_training.vae import VAE

Array = NDArray[np.float64]

TARGET = 1e-5  # of 1 + |log likelihood| + |kl|
N, D, Z, K = 2_000, 8, 3, 4
DECADES = 6.0  # |a| lies between 10^-6 and 10^6
FARTHEST = 1e6  # the largest |b|, in standard deviations of the column


def measure(plan: Plan) -> Measured:
    """The largest error of the shift in ELBO, log-likelihood and KL, over random maps and all rows."""
    trained = run(_config(plan.pick(1_000, 200)), device="cpu", rows=_rows())
    before = exported(trained.one, trained.rows)
    rng = np.random.default_rng(0)
    errors = [_error(trained, before, rng) for _ in range(plan.pick(20, 5))]
    name = f"shift of the ELBO, {len(errors)} maps through ONNX Runtime"
    figure = Figure(name, max(errors), "of 1 + |ll| + |kl|", min(errors), max(errors), target=TARGET)
    return Measured([figure], {"columns": D, "rows": N, "decades_of_a": [-DECADES, DECADES], "largest_b": FARTHEST})


def exported(vae: VAE, rows: Rows) -> dict[str, Array]:
    """The terms of the bound of every row, from the exported graph."""
    x = torch.from_numpy(rows.x)
    graph = export_graphs(vae, x, ["elbo"])["elbo"]
    session = onnxruntime.InferenceSession(graph.data, providers=["CPUExecutionProvider"])
    eps = np.random.default_rng(1).standard_normal((len(x), K, Z)).astype(np.float32)
    names = [out.name for out in graph.outputs]
    return dict(zip(names, session.run(names, {"x": rows.x, "eps": eps}), strict=True))


def mapped(trained: Trained, a: Array, b: Array) -> tuple[VAE, Rows]:
    """The same networks for a x + b, with everything else refitted. If a < 0, the weights of the column change sign."""
    rows = replace(trained.rows, x=a * trained.rows.x + b)
    vae = build(trained.config, rows, trained.splits.train)
    vae.encoder.load_state_dict(trained.one.encoder.state_dict())
    vae.decoder.load_state_dict(trained.one.decoder.state_dict())
    sign = torch.from_numpy(np.sign(a)).float()
    with torch.no_grad():
        first = next(p for p in vae.encoder.parameters() if p.ndim == 2)  # (hidden, D)
        first.mul_(sign)
        weight, bias = list(vae.decoder.parameters())[-2:]  # of the head: means first, then scales
        weight[: len(a)].mul_(sign[:, None])
        bias[: len(a)].mul_(sign)
    return vae.eval(), rows


def _error(trained: Trained, before: dict[str, Array], rng: np.random.Generator) -> float:
    a = rng.choice([-1.0, 1.0], D) * 10.0 ** rng.uniform(-DECADES, DECADES, D)
    b = a * trained.rows.x.std(axis=0) * rng.uniform(-FARTHEST, FARTHEST, D)
    after = exported(*mapped(trained, a, b))
    shift = {"elbo": -np.log(np.abs(a)).sum(), "log_likelihood": -np.log(np.abs(a)).sum(), "kl": 0.0}
    size = 1.0 + np.abs(before["log_likelihood"]) + np.abs(before["kl"])  # (N,)
    return max(float((np.abs(after[term] - before[term] - by) / size).max()) for term, by in shift.items())


def _config(steps: int) -> Config:
    return make_config(
        {
            "name": "rescaling",
            "data": {"source": "generated"},
            "network": {"hidden": [32], "latent_dim": Z},
            "training": {"steps": steps, "evaluate_every": steps},
        }
    )


def _rows() -> Rows:
    """Correlated columns with scales near 1, (N, D)."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, Z)) @ rng.standard_normal((Z, D)) + 0.3 * rng.standard_normal((N, D))
    return Rows(x, tuple(f"x{d}" for d in range(D)), np.zeros(N, dtype=bool))
