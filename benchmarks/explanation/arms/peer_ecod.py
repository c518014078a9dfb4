"""The arm of PyOD's ECOD: the feature of each row that adds most to its score. Runs in a venv of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from pyod.models.ecod import ECOD


def main(path: Path) -> None:
    """Fit on `train`, score every other array of the file; print its features, one a row, by the array's name."""
    with np.load(path) as arrays:
        detector = ECOD().fit(arrays["train"])
        found = {name: _first(detector, arrays[name]) for name in arrays.files if name != "train"}
    sys.stdout.write("\n" + json.dumps(found) + "\n")


def _first(detector: ECOD, rows: np.ndarray) -> list[int]:
    """O (n, D), the larger of the tails' -log p, is left by the last scoring; its last rows are the scored ones."""
    detector.decision_function(rows)
    contributions = np.asarray(detector.O)[-len(rows) :]
    return [int(d) for d in contributions.argmax(axis=1)]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
