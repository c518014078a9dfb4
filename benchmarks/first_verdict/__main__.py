"""Compares the ways to a calibrated anomaly verdict over HTTP from a CSV: lines, files, minutes, and whether it holds.

python -m benchmarks.first_verdict --wheel dist/vaekit-*.whl [--only vaekit pyod_fastapi]

Each way trains on the same 178 benign rows of the breast cancer data (scikit-learn's copy) and is asked about the other
179 and the 212 malignant ones. Every way makes a new environment and installs its packages in it, so the index that pip
uses sets much of the time.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import betabinom
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score

from benchmarks.first_verdict.way import STEPS, Run, Way

ALPHA = 0.05
RUN = ("vaekit", "pyod_fastapi", "mlserver", "bentoml")
NOT_RUN = ("triton",)  # needs an image of its own; its files are written by its documentation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, required=True, help="the wheel of vaekit, from `make dist`")
    parser.add_argument(
        "--constraints", type=Path, default=Path("constraints.txt"), help="pip's, for vaekit's packages"
    )
    parser.add_argument("--only", nargs="+", choices=RUN, default=RUN)
    parser.add_argument("--out", type=Path, default=Path("build/first-verdict"))
    args = parser.parse_args()
    data, normal = rows()
    own = {"PIP_FIND_LINKS": str(args.wheel.parent.absolute()), "PIP_CONSTRAINT": str(args.constraints.absolute())}
    found = {}
    for name in args.only:
        way = Way(name)
        run = way.run(args.out / name, data, {**({} if name != "vaekit" else own), "PIP_QUIET": "1"})
        found[name] = facts(way, run, normal)
        (args.out / "figures.json").write_text(json.dumps(found, indent=2), encoding="utf-8")
    show(found)


def rows() -> tuple[dict[str, str], np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """(train.csv and new.csv as text; which rows of new.csv are normal)."""
    loaded = load_breast_cancer()
    benign = np.flatnonzero(loaded.target == 1)
    benign = np.random.default_rng(0).permutation(benign)
    train, new = benign[: len(benign) // 2], np.r_[benign[len(benign) // 2 :], np.flatnonzero(loaded.target == 0)]

    def text(which: np.ndarray[tuple[int], np.dtype[np.int64]]) -> str:
        out = io.StringIO()
        csv.writer(out).writerows([loaded.feature_names, *loaded.data[which].tolist()])
        return out.getvalue()

    return {"train.csv": text(train), "new.csv": text(new)}, loaded.target[new] == 1


def facts(way: Way, run: Run, normal: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> dict[str, object]:
    """What is reported of a run. Stop unless there is one verdict per row.

    `holds`: whether the number of false alarms is among the central 99 % of those of a calibrated detector, which are
    beta-binomial given the number of calibration rows. That number is told by the smallest p-value: 1 / (n + 1).
    """
    if len(run.verdicts) != len(normal):
        raise SystemExit(f"{way.name}: {len(run.verdicts)} verdicts for {len(normal)} rows")
    verdicts = np.array(run.verdicts)
    smallest = min(float(row["p_value"]) for row in run.reply)
    n, alarms = round(1 / smallest) - 1, int(verdicts[normal].sum())
    k = int(np.floor(ALPHA * (n + 1)))
    low, high = betabinom(int(normal.sum()), k, n + 1 - k).interval(0.99)
    return {
        "lines": way.lines,
        "files": len(way.files),
        "seconds": {step: round(run.seconds[step], 1) for step in STEPS},
        "minutes": round(sum(run.seconds.values()) / 60, 1),
        "false alarms": alarms / int(normal.sum()),
        "holds": bool(low <= alarms <= high),
        "detected": float(verdicts[~normal].mean()),
        "AUROC": float(roc_auc_score(~normal, [float(row["score"]) for row in run.reply])),
        "calibration rows": n,
        "columns": sorted(run.reply[0]),
    }


def show(found: dict[str, dict[str, object]]) -> None:
    names = ("lines", "files", "minutes", "false alarms", "holds", "detected", "AUROC", "calibration rows")
    table = Table("way", *names, title=f"From a CSV to verdicts at alpha = {ALPHA}")
    for name, each in found.items():
        table.add_row(name, *(f"{value:.3g}" if isinstance(value := each[key], float) else str(value) for key in names))
    for way in map(Way, NOT_RUN):
        table.add_row(way.name, str(way.lines), str(len(way.files)), *["not run"] * (len(names) - 2))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
