"""Publishes a trained VAE as a bundle of graphs, draws, golden rows, calibration, metrics and report."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vaekit.bundle import AnyCalibration, Manifest, default_eps, find, publish
from vaekit.bundle.disk import temporary_folder
from vaekit.bundle.draws import NEWEST_RULE
from vaekit.bundle.manifest import (
    EXEMPLARS_FILE,
    DrawsFile,
    ExemplarsFile,
    Golden,
    Graph,
    Metric,
    Operation,
    Precision,
    Provenance,
)
from vaekit.bundle.write import calibration_file, created, digest, npz
from vaekit.runtime import Model
from vaekit_training import build, evaluate, float16, held_out, privacy, report, specs
from vaekit_training.config import Config
from vaekit_training.data.load import Rows
from vaekit_training.data.split import BY_FOLDS, assumption
from vaekit_training.export import ExportedGraph, export_graphs
from vaekit_training.export import evaluate as by_torch
from vaekit_training.folds import AnyVAE
from vaekit_training.kernel_vae import KernelVAE
from vaekit_training.trained import Trained

NOISE_FILE, GOLDEN_FILE, CONFIG_FILE = "noise.npy", "golden.npz", "config.toml"
GOLDEN_ROWS, GOLDEN_DRAWS = 5, 3
REFERENCE = 16  # draws that the default draws are compared with, for each of them
LEAST = {"CPUExecutionProvider": 1e-4, "CUDAExecutionProvider": 1e-3}  # smallest golden tolerance, relative
PACKAGES = ("vaekit", "torch", "onnx", "onnxruntime", "onnxruntime-gpu", "numpy")


def publish_run(
    run: Trained,
    models: Path | str,
    say: Callable[[str], None] = lambda _: None,
    warn: Callable[[str], None] = lambda _: None,
    *,
    draws_report: bool = True,
) -> Manifest:
    """Export a run, verify the graphs by loading them, calibrate, measure, and publish a new version.

    Args:
        run: the finished run.
        models: the models folder.
        say: called with a progress message for each stage.
        warn: called with the reason if float16 graphs were requested but not written.
        draws_report: whether the bundle gets a report of the run and a model card.

    Returns:
        The manifest as published.

    Raises:
        TrainingError: the graphs differ from torch by more than 1e-4 nats per dimension; nothing is published.
        GoldenMismatch: the graphs differ from torch on golden rows; nothing is published.
    """
    say("exporting graphs")
    graphs = export_graphs(run.vae, torch.from_numpy(run.rows.x[run.splits.train[:3]]))
    manifest, files = _draft(run, graphs)
    with temporary_folder() as draft:
        publish(draft, manifest, files)
        with Model.load(find(draft, manifest.name), device="cpu") as model:
            say("verifying, calibrating and measuring")
            groups = held_out.groups_of(run.rows, run.splits, run.config.calibration, manifest.input)
            model.group_by(groups)
            calibration = held_out.calibrated(model, run.rows, run.splits, groups)
            ways: dict[tuple[int, Precision], AnyCalibration] = {(manifest.draws.default, "float32"): calibration}
            manifest = _measured(run, model, manifest, calibration)
            if run.config.export.half:
                added = float16.add_graphs(run.one, run.rows, run.splits, model, manifest, files, calibration, groups)
                if isinstance(added, str):
                    warn(added)
                    run = replace(run, history=replace(run.history, warnings=(*run.history.warnings, added)))
                else:
                    manifest, files = added.manifest, added.files
                    ways[manifest.draws.default, "float16"] = added.held_out
                    say(float16.sentence(manifest.metrics))
            manifest = _calibrated(run, model, manifest, ways, files)
            if not draws_report:
                return publish(models, manifest, files)
            say("drawing the report")
            pages = report.render(run, model, manifest, calibration)
    return publish(models, manifest, files, pages)


def base_draws(latent_dim: int, maximum: int, seed: int) -> NDArray[np.float64]:
    """Standard normal draws (maximum, latent_dim): scrambled Sobol points, mapped by the normal quantile function.

    The first K of them are the default draws of a request; see vaekit.bundle.draws.

    Source: Joe and Kuo (2008) directions, Owen (1998) scrambling, as in torch.quasirandom.
    """
    points = torch.quasirandom.SobolEngine(latent_dim, scramble=True, seed=seed).draw(maximum, dtype=torch.float64)
    half = 2.0**-33  # points are multiples of about 2^-32; clamping keeps them away from 0 and 1
    return np.asarray(torch.special.ndtri(points.clamp(half, 1 - half)).numpy())


def _other_draws(manifest: Manifest, seed: int) -> NDArray[np.float64]:
    """REFERENCE times as many draws as the default draws, (K, Z), from other quasi-random points."""
    count = REFERENCE * manifest.draws.default
    return default_eps(base_draws(manifest.latent_dim, count, (seed + 1) % 2**32), count, NEWEST_RULE)


def default_draws(config: Config, rows: Rows) -> int:
    """The default number of draws K: from the config, or 16 for tables and 4 for images."""
    return config.draws.default or min(4 if rows.is_image else 16, config.draws.maximum)


def _draft(run: Trained, graphs: dict[Operation, ExportedGraph]) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest and files of the bundle, still without calibration, metrics and report."""
    config, latent_dim = run.config, run.vae.latent_dim
    rows = _golden_rows(run.vae, run.rows, config.training.seed)
    files = {graph.file: graph.data for graph in graphs.values()}
    files[NOISE_FILE] = npy(base_draws(latent_dim, config.draws.maximum, config.training.seed))
    golden, off = evaluate.golden(run.vae, graphs, rows, GOLDEN_DRAWS)
    files[GOLDEN_FILE] = npz(golden)
    files[CONFIG_FILE] = config.to_toml().encode()
    exemplars = _exemplars(run, files)
    manifest = Manifest(
        name=config.name,
        version=1,
        created=created(),
        input=specs.input_spec(run.rows, config, run.vae),
        likelihood=specs.likelihood_spec(run.rows, config, run.vae),
        prior=specs.prior_spec(run.vae),
        latent_dim=latent_dim,
        members=run.vae.members,
        width=build.width(run.vae),
        operations={operation: _graph(graph) for operation, graph in graphs.items()},
        draws=DrawsFile(
            file=NOISE_FILE,
            sha256=digest(files[NOISE_FILE]),
            rule=NEWEST_RULE,
            default=default_draws(config, run.rows),
            maximum=config.draws.maximum,
        ),
        golden=Golden(
            file=GOLDEN_FILE,
            sha256=digest(files[GOLDEN_FILE]),
            num_samples=GOLDEN_DRAWS,
            tolerance=evaluate.tolerances(off, LEAST),
        ),
        exemplars=exemplars,
        novelty=specs.novelty(run.rows, run.splits),
        privacy=privacy.privacy(config, run.vae, run.splits),
        ignore=config.ignore or None,
        provenance=_provenance(run),
    )
    return manifest, files


def _exemplars(run: Trained, files: dict[str, bytes]) -> ExemplarsFile | None:
    """The entry of the training rows that the bundle may show, which are added to `files`; None: it may not."""
    if not privacy.shows_exemplars(run.config, run.vae):
        return None
    assert isinstance(run.vae, KernelVAE)
    found = privacy.exemplars(run.vae, run.rows, run.splits)
    files[EXEMPLARS_FILE] = npz(found.arrays())
    return ExemplarsFile(file=EXEMPLARS_FILE, sha256=digest(files[EXEMPLARS_FILE]), n=len(found.row))


def _calibrated(
    run: Trained,
    model: Model,
    manifest: Manifest,
    ways: dict[tuple[int, Precision], AnyCalibration],
    files: dict[str, bytes],
) -> Manifest:
    """The manifest with the calibrations of rows and of cells; adds their files to `files`."""
    said = BY_FOLDS if run.splits.folds else assumption(run.config.data)
    calibration, content = calibration_file(ways, said)
    cells = held_out.surprises(model, run.vae, run.rows.x, run.splits)
    surprises = cells.found()
    model.compare_cells_with(surprises)  # the report explains rows
    surprise, of_cells = cells.file(surprises)
    files |= {calibration.file: content, surprise.file: of_cells}
    return manifest.model_copy(update={"calibration": calibration, "surprise": surprise})


def _measured(run: Trained, model: Model, manifest: Manifest, calibration: AnyCalibration) -> Manifest:
    """The manifest with its metrics."""
    off = evaluate.parity(model, run.vae, run.rows.x[run.splits.validation])
    of_folds = f", mean over {len(run.splits.folds)} fold models" if run.splits.folds else ""
    has_kernels = manifest.prior.name == "kernel"
    which = "nats, validation rows, which choose nothing" if has_kernels else "nats, draws that did not choose the step"
    of_steps = {
        "best_step": Metric(value=run.history.best.step, unit="step whose weights were kept" + of_folds),
        "validation_objective": Metric(value=run.history.best.objective, unit=_unit_of(run.config)),
    }
    figures = {
        **evaluate.metrics(model, run.rows.x, run.splits, calibration, run.config.training.seed),
        **evaluate.quadrature(model, run.rows.x[run.splits.test], _other_draws(manifest, run.config.training.seed)),
        **privacy.metrics(model, run.vae, run.rows.x, run.splits, run.config.training.seed),
        "parity": Metric(value=off, unit="nats per dimension, graphs against torch in float64"),
        **({} if has_kernels else of_steps),
        "validation_elbo": Metric(
            value=run.history.best.elbo,
            standard_error=run.history.best.elbo_standard_error or None,
            n=len(run.splits.validation),
            unit=which + of_folds,
        ),
    }
    return manifest.model_copy(update={"metrics": figures})


def _unit_of(config: Config) -> str:
    """The unit of the training objective, in words."""
    objective, members = config.objective, ", mean over members" if config.network.members > 1 else ""
    members += f", mean over {config.data.folds} fold models" if config.data.folds else ""
    if objective.name == "iwae":
        return f"nats, minus the importance-weighted bound of {objective.num_samples} draws{members}"
    free = f", {objective.free_bits:g} nats free of each latent dimension" if objective.free_bits else ""
    return f"nats at beta = {objective.shown_beta}{free}{members}"


def _golden_rows(vae: AnyVAE, rows: Rows, seed: int) -> NDArray[Any]:
    """Golden rows (n, ...): draws of the model, then rows of extreme values; never training rows.

    Extreme values are black and white images, or the limits of each column's kind.
    """
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(GOLDEN_ROWS, vae.latent_dim, generator=generator)
    noise = torch.randn(GOLDEN_ROWS, vae.features.dim, 2, generator=generator)
    feeds = {"z": z, "noise": noise}
    if vae.members > 1:
        feeds["member"] = torch.zeros(GOLDEN_ROWS, dtype=torch.long)
    x = by_torch(vae, "observe", feeds)["x"].numpy()
    if rows.is_image:
        extremes = np.stack([np.zeros(x.shape[1:]), np.full(x.shape[1:], 255.0)])
        return np.concatenate([x, extremes]).astype(np.uint8)
    ends = np.array([_ENDS[kind] for kind in rows.kinds]).T  # (2, D)
    if vae.members > 1:  # at the limits, rounding errors of the ELBOs would decide the weights of the members
        continuous = vae.features.density.numpy() & np.isin(rows.kinds, ("real", "positive"))
        ends[1] = np.where(continuous, vae.features.to_raw(torch.full((len(continuous),), 10.0)).numpy(), ends[1])
        ends[1] = np.where(np.array(rows.kinds) == "count", 0.0, ends[1])
    golden = np.concatenate([x, ends])
    if vae.features.may_be_missing:
        golden[: len(golden) // 2, list(rows.may_be_missing)] = np.nan
        golden[np.isnan(golden).all(axis=1), 0] = ends[0, 0]  # at least one observed cell per row
    return golden


_ENDS: dict[str, tuple[float, float]] = {
    "real": (0.0, 1e300),
    "positive": (1e-300, 1e300),
    "count": (0.0, 2.0**53),
    "fraction": (0.0, 1.0),
    "binary": (0.0, 1.0),
    "category": (0.0, 0.0),
}


def _graph(graph: ExportedGraph) -> Graph:
    return Graph(file=graph.file, sha256=digest(graph.data), inputs=graph.inputs, outputs=graph.outputs)


def _provenance(run: Trained) -> Provenance:
    return Provenance(
        config=run.config.model_dump(mode="json"),
        seed=run.config.training.seed,
        data=run.config.data.source,
        data_sha256=run.rows.digest(),
        rows=run.splits.sizes(),
        commit=_commit(),
        versions={name: version for name in PACKAGES if (version := _version(name))},
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The git commit of the current folder, or None outside a repository."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode().strip()


def npy(array: NDArray[Any]) -> bytes:
    """The array as the content of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
