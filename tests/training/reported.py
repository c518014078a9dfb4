"""Runs to report on, with a model that computes in torch instead of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tests.training.models import Case, case
from vaekit.bundle import Calibration
from vaekit.bundle.manifest import (
    DrawsFile,
    Golden,
    Graph,
    Manifest,
    Metric,
    Operation,
    Provenance,
    Tensor,
)
from vaekit.bundle.write import calibration_file
from vaekit.runtime import Model
from vaekit.runtime.eps import EpsDraws
from vaekit.runtime.explain.held_out import HeldOutRows
from vaekit.runtime.row_feeds import RowFeeds
from vaekit_training import specs
from vaekit_training.data.split import Splits
from vaekit_training.export import evaluate, graph_inputs
from vaekit_training.kernel_vae import KernelVAE
from vaekit_training.loop.kernel_validation import validation
from vaekit_training.loop.tracking import History, Validation
from vaekit_training.publish import base_draws
from vaekit_training.report.facts import Facts, gather
from vaekit_training.trained import Trained

SHA = "0" * 64
DRAWS, MOST_DRAWS = 4, 8
WARNING = "a warning of the run, with <angles>"


class TorchModel(Model):
    """A runtime model that computes every operation in torch."""

    def __init__(self, one: Case, manifest: Manifest) -> None:
        self._vae, self.manifest, self.spec = one.vae, manifest, manifest.input
        self.device, self.precision, self._calibrations = "cpu", "float32", {}
        self.surprises = self.exemplars = None
        encoder = manifest.operations["encode"]
        self.graphs = {"encode": SimpleNamespace(takes_draws=any(part.name == "eps" for part in encoder.inputs))}
        self._width, self._components = max(self.spec.dim, manifest.latent_dim, manifest.width), manifest.components
        self._row_feeds = RowFeeds(manifest, None)
        self._eps = EpsDraws(
            base_draws(manifest.latent_dim, MOST_DRAWS, seed=0), manifest.draws.default, manifest.draws.rule
        )

    def run(self, operation: Operation, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        order = [tensor.name for tensor in self.manifest.operations[operation].inputs]
        given = {name: torch.from_numpy(np.array(feeds[name])) for name in order}
        return {name: values.numpy() for name, values in evaluate(self._vae, operation, given).items()}


def run_of(kind: str, *overrides: str) -> tuple[Trained, TorchModel, Manifest, Calibration]:
    """The arguments of report.render: splits of equal size, the last of them anomalies, and three validations."""
    one = case(kind, *overrides)
    n = len(one.rows.x)
    *normal, anomalies = np.array_split(np.arange(n), 5)
    splits = Splits(*normal, anomalies=anomalies)
    run = Trained(one.config, one.rows, splits, one.vae, history(one))
    draft = _manifest(run, one)
    model = TorchModel(one, draft)
    scored = model.elbo(one.rows.x[splits.calibration])
    held_out = Calibration.of(scored.score, scored.novel)
    surprises = HeldOutRows(model)
    surprises.add(one.rows.x[splits.calibration])
    model.compare_cells_with(surprises.found())
    signed, _ = calibration_file({(DRAWS, "float32"): held_out}, "Alike rows.")
    return run, model, draft.model_copy(update={"calibration": signed}), held_out


def facts_of(kind: str, *overrides: str) -> Facts:
    return gather(*run_of(kind, *overrides))


def history(one: Case) -> History:
    if isinstance(one.vae, KernelVAE):
        found = validation(one.vae, one.rows.x, seed=0)
        return History((found,), found, stopped_early=False, warnings=(WARNING,))
    z, dim = one.latent_dim, one.vae.features.dim
    validations = tuple(
        Validation(
            step,
            beta=min(1.0, step / 40),
            train_objective=9.0 - step / 50,
            objective=10.0 - step / 50,
            of_weights=12.0 - step / 50,
            elbo=-10.0 + step / 50,
            log_likelihood=-9.0 + step / 50,
            kl=1.0,
            log_evidence=-9.5 + step / 50,
            kl_by_latent=tuple(np.linspace(0, 1, z)),
            log_likelihood_by_feature=tuple(np.linspace(-1, 1, dim) * step),
            active_units=z - 1,
        )
        for step in (20, 40, 60)
    )
    return History(validations, validations[-1], stopped_early=False, warnings=(WARNING,))


def _manifest(run: Trained, one: Case) -> Manifest:
    feeds = graph_inputs(one.vae, one.x[:2], DRAWS, seed=0)
    operations: dict[Operation, Graph] = {
        operation: Graph(
            file=f"{operation}.onnx",
            sha256=SHA,
            inputs=tuple(Tensor(name=name, dtype="float32", shape=("N",)) for name in inputs),
            outputs=(),
        )
        for operation, inputs in feeds.items()
    }
    return Manifest(
        name="case",
        version=1,
        created=datetime(2026, 1, 2, tzinfo=UTC),
        input=specs.input_spec(one.rows, one.config, one.vae),
        likelihood=specs.likelihood_spec(one.rows, one.config, one.vae),
        prior=specs.prior_spec(one.vae),
        latent_dim=one.latent_dim,
        members=one.vae.members,
        operations=operations,
        draws=DrawsFile(file="noise.npy", sha256=SHA, default=DRAWS, maximum=MOST_DRAWS),
        golden=Golden(file="golden.npz", sha256=SHA, num_samples=2, tolerance={}),
        metrics={"elbo": Metric(value=-12.5, standard_error=0.25, n=8, unit="nats")},
        provenance=Provenance(
            config=one.config.model_dump(mode="json"), seed=0, data="table", data_sha256=SHA, rows=run.splits.sizes()
        ),
    )
