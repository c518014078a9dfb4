"""Measures one set: trains the models, makes cells wrong in test rows, and explains the rows with every contender."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.sets import load
from benchmarks.explanation.plant import WAYS, Floats, Planted, plant
from benchmarks.processes import run_arm
from vaekit.runtime import Model
from vaekit.runtime.explain.predict import predict
from vaekit.runtime.explain.surprises import surprise
from vaekit_training.config import Config, make_config
from vaekit_training.data.load import of_array
from vaekit_training.data.split import split
from vaekit_training.run import train

SHARES = ("train=0.5", "validation=0.1", "calibration=0.2", "test=0.2")
MODELS = {  # likelihoods
    "recipe": {"name": "auto"},
    "network": {"name": "student_t", "scale": "network"},
    "feature": {"name": "student_t", "scale": "feature"},
}
EXPLAINED = 8  # cells explained per row; the expected value is measured if the wrong cell is among them
MIN_DIMS, MIN_ROWS = 4, 30  # smallest number of columns of a set, and of wrong rows for each way to make them
SEED = 1

Answer = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """The measurement of one file."""

    path: Path  # X (n, D), y (n,): 0 is normal
    rows: int  # most normal rows
    models: tuple[str, ...]  # of MODELS
    overrides: tuple[str, ...]  # settings of training
    pyod: Path | None  # the python of PyOD's environment; None: PyOD is left out


def run_or_load(folder: Path, job: Job) -> Answer | None:
    """Load the result of an earlier run with the same settings, or run and save the result."""
    path, asked = folder / f"{job.path.stem}.json", {name: str(value) for name, value in vars(job).items()}
    if path.exists() and (found := json.loads(path.read_text()))["asked"] == asked:
        return cast("Answer | None", found["answer"])
    answer = run(job)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"asked": asked, "answer": answer}))
    return answer


def run(job: Job) -> Answer | None:
    """Hit rates of each contender by way, and the accuracy of expected values; None if the set is too small."""
    x, is_anomaly = load(job.path.parent, job.path.stem)
    x = x[~is_anomaly]
    if x.shape[1] < MIN_DIMS:
        return None
    x = x[np.random.default_rng(SEED).permutation(len(x))[: job.rows]]
    test = split(of_array(x), _config(job, job.models[0]).data, 0).test
    seen = np.delete(x, test, axis=0)
    wrong = {way: planted for way in WAYS if len((planted := plant(way, x[test], seen, SEED)).rows) >= MIN_ROWS}
    if not wrong:
        return None
    found = {"|z|": {way: _rate(_largest_z(planted.rows, seen), planted) for way, planted in wrong.items()}}
    if job.pyod is not None:
        found["ECOD"] = _ecod(job.pyod, seen, wrong)
    expected: dict[str, Any] = {}
    for name in job.models:
        with _trained(job, name, x) as model:
            measured = {way: _explain(model, planted, seen.std(axis=0)) for way, planted in wrong.items()}
        found[f"relief, {name}"] = {way: one.pop("relief") for way, one in measured.items()}
        found[f"excess, {name}"] = {way: one.pop("excess") for way, one in measured.items()}
        expected[name] = measured
    counts = {way: len(planted.rows) for way, planted in wrong.items()}
    return {
        "set": job.path.stem,
        "rows": len(x),
        "dims": x.shape[1],
        "wrong": counts,
        "hits": found,
        "expected": expected,
    }


def _config(job: Job, name: str) -> Config:
    tree = {"name": "planted", "data": {"source": "memory"}, "likelihood": MODELS[name]}
    return make_config(tree, [*(f"data.fractions.{share}" for share in SHARES), *job.overrides])


@contextmanager
def _trained(job: Job, name: str, x: Floats) -> Iterator[Model]:
    """A model that is trained, exported, calibrated, published and loaded as by a user."""
    with tempfile.TemporaryDirectory() as folder:
        train(_config(job, name), folder, device="cpu", rows=of_array(x))
        with Model.load(Path(folder) / "planted", device="cpu", threads=1) as model:
            yield model


def _explain(model: Model, planted: Planted, sd: Floats) -> dict[str, Any]:
    """Hit rates by relief and by excess, distances of expected values from the truth, and coverage of intervals.

    Distances are in standard deviations, medians over rows whose wrong cell is among the explained ones. `pulled_off`
    is the distance of E[x_d|x], for which the posterior has seen the wrong cell.
    """
    assert model.surprises is not None
    found = model.explain(planted.rows, top=min(EXPLAINED, model.spec.dim))
    cells = found.explanation
    assert cells is not None
    excess = surprise(found, planted.rows) - model.surprises.features.middle
    is_wrong = cells["feature"] == planted.column[:, None]  # (n, k), at most one a row
    rows = is_wrong.any(axis=1)
    cell, truth, unit = cells[is_wrong], planted.truth[rows], sd[planted.column[rows]]
    pulled = predict(model, planted.rows[rows], planted.column[rows, None], interval=False).expected[:, 0]
    return {
        "relief": _rate(cells["feature"][:, 0], planted),
        "excess": _rate(excess.argmax(axis=1), planted),
        "told": float(rows.mean()),
        "off": float(np.median(np.abs(cell["expected"] - truth) / unit)),
        "pulled_off": float(np.median(np.abs(pulled - truth) / unit)),
        "covered": float(np.mean((cell["low"] <= truth) & (truth <= cell["high"]))),
    }


def _rate(feature: NDArray[Any], planted: Planted) -> float:
    return float((feature == planted.column).mean())


def _largest_z(rows: Floats, seen: Floats) -> NDArray[np.intp]:
    """The feature of the largest |x - mean| / sd, (n,); constant columns are ignored."""
    sd = seen.std(axis=0)
    z: Floats = np.abs(rows - seen.mean(axis=0)) / np.where(sd > 0, sd, np.inf)
    return np.asarray(z.argmax(axis=1), dtype=np.intp)


def _ecod(python: Path, seen: Floats, wrong: dict[str, Planted]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npz"
        rows: dict[str, Any] = {way: planted.rows for way, planted in wrong.items()}
        np.savez(path, train=seen, **rows)
        found = run_arm("explanation.arms.peer_ecod", [str(path)], python=python)
    return {way: _rate(np.array(found[way]), planted) for way, planted in wrong.items()}
