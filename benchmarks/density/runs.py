"""Fits each contender on each split, and saves each result at once, so that an interrupted run can be resumed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from rich.progress import track

from benchmarks.density import sets
from benchmarks.density.flow import spline_flow
from benchmarks.density.ours import OPTIONS, ours
from benchmarks.density.simple import SIMPLE, LogDensity

Contender = Callable[[sets.DensitySplit, int], LogDensity]
Result = dict[str, Any]
FLOW = "neural spline flow"
CONTENDERS: dict[str, Contender] = {
    **SIMPLE,
    **{name: ours(settings) for name, settings in OPTIONS.items()},
    FLOW: spline_flow,
}


class Job(NamedTuple):
    """One contender on one split of one set."""

    set: str
    seed: int
    contender: str
    most_rows: int


def run(job: Job, folder: Path | None) -> Result:
    """Mean log p and its standard error over the test rows, nats per row in standardised units, and seconds."""
    split = sets.split(folder, job.set, job.seed, job.most_rows)
    began = perf_counter()
    try:
        density = CONTENDERS[job.contender](split, job.seed)
        fitted = perf_counter()
        log_p = density(split.test)
    except Exception as exc:  # noqa: BLE001  the failure of a contender on a set is a result too
        return {**job._asdict(), "error": f"{type(exc).__name__}: {exc}"}
    scored = perf_counter()
    evidence = getattr(density, "log_evidence", None)
    return {
        **job._asdict(),
        "log_p": float(np.mean(log_p)),
        "standard_error": float(np.std(log_p, ddof=1) / np.sqrt(len(log_p))),
        "log_evidence": None if evidence is None else float(np.mean(evidence(split.test))),
        "fit_seconds": fitted - began,
        "score_seconds": scored - fitted,
        "train": len(split.train),
        "test": len(split.test),
        "dims": split.train.shape[1],
        "repeats": split.repeats,
    }


def run_all(jobs: Sequence[Job], folder: Path | None, store: Path) -> list[Result]:
    """The results of all jobs, in order; those in the store, a file of JSON lines, do not run again."""
    store.parent.mkdir(parents=True, exist_ok=True)
    found = {_job(result): result for result in _stored(store)}
    missing = [job for job in jobs if job not in found]
    with store.open("a") as file:
        for job in track(missing, "densities", transient=True):
            found[job] = run(job, folder)
            file.write(json.dumps(found[job]) + "\n")
            file.flush()
    return [found[job] for job in jobs]


def _stored(store: Path) -> list[Result]:
    """Results of an earlier run; an incomplete last line is ignored."""
    results = []
    for line in store.read_text().splitlines() if store.exists() else ():
        try:
            results.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return results


def _job(result: Result) -> Job:
    return Job(*(result[field] for field in Job._fields))
