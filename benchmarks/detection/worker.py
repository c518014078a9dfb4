"""Runs one detector on one split at a time, each in a child process, and measures it.

    python -m benchmarks.detection.worker

It reads one job per line and writes one result per line, both as JSON. The modules of the detectors are imported once
in the parent, so that the time and memory of a child are those of the detector only.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.detection import methods, sets

# Modules that the parent process imports before it forks.
WARM = (
    "numpy",
    "torch",
    "sklearn.neighbors",
    "sklearn.ensemble",
    "sklearn.svm",
    "sklearn.covariance",
    "sklearn.metrics",
)
WARM_OURS = ("vaekit.detector", "vaekit_training.run", "vaekit_training.publish", "onnxruntime")
WARM_PEERS = ("pyod.models.vae", "pyod.models.deep_svdd", "pyod.models.ecod", "pyod.models.pca")


@dataclass(frozen=True)
class Job:
    """One detector on one split of one set."""

    folder: str
    set: str
    seed: int
    protocol: str
    most_rows: int
    method: str
    settings: tuple[str, ...] | None = None  # of vaekit's Detector; None: a peer, found by its name
    exported: bool = True  # score vaekit from a bundle; False: in torch

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> Job:
        known = {field.name: tree[field.name] for field in fields(cls) if field.name in tree}
        settings = known.get("settings")
        return cls(**{**known, "settings": None if settings is None else tuple(settings)})


def run(job: Job) -> dict[str, Any]:
    """Figures of one job: AUROC, AP, seconds, bytes of memory above the start, and the sizes of the split."""
    from scipy.stats import rankdata
    from sklearn.metrics import average_precision_score, roc_auc_score

    split = sets.split(*sets.load(Path(job.folder), job.set), job.seed, protocol=job.protocol, most_rows=job.most_rows)
    method = (
        methods.PEERS[job.method] if job.settings is None else methods.ours(list(job.settings), exported=job.exported)
    )
    before = _start_measuring()
    began = perf_counter()
    scores = rankdata(method(split, job.seed), nan_policy="raise")  # ranks, because some scores are infinite
    seconds = perf_counter() - began
    peak = _status("VmHWM")
    return {
        "auroc": float(roc_auc_score(split.is_anomaly, scores)),
        "ap": float(average_precision_score(split.is_anomaly, scores)),
        "seconds": seconds,
        "memory": None if peak is None or before is None else peak - before,
        "train": len(split.train),
        "test": len(split.test),
        "dims": split.train.shape[1],
    }


def _start_measuring() -> int | None:
    """Resident bytes now; resets the peak counter if the system allows it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(key: str) -> int | None:
    """Bytes in a line of /proc/self/status; None if there is no such line."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return 1024 * int(line.split()[1])
    return None


def _child(job: Job, answer: Connection) -> None:
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):  # PyOD prints to stdout
        try:
            answer.send(run(job))
        except Exception as exc:  # noqa: BLE001  the failure of a detector on a set is a result too
            answer.send({"error": f"{type(exc).__name__}: {exc}"})


def serve() -> None:
    """Run each job of the input in a fork of this process, and print its result."""
    context = get_context("fork")
    for line in sys.stdin:
        job = Job.of(json.loads(line))
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_child, args=(job, theirs))
        child.start()
        theirs.close()
        try:
            found = ours.recv()
        except EOFError:
            child.join()
            found = {"error": f"ended with code {child.exitcode}"}
        child.join()
        print(json.dumps({**asdict(job), **found}), flush=True)


def main() -> None:
    import torch

    torch.set_num_threads(1)
    for name in (*WARM, *WARM_OURS, *WARM_PEERS):
        with contextlib.suppress(ImportError):  # peers may be left out
            importlib.import_module(name)
    serve()


if __name__ == "__main__":
    main()
