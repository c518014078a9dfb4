"""Finds the feature of each row that adds most to its score by PyOD's ECOD. Runs in its own virtual environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from pyod.models.ecod import ECOD


def main(path: Path) -> None:
    """Fit on `train`, score all other arrays of the file, and print one feature per row, by the array's name."""
    with np.load(path) as arrays:
        detector = ECOD().fit(arrays["train"])
        found = {name: _first(detector, arrays[name]) for name in arrays.files if name != "train"}
    sys.stdout.write("\n" + json.dumps(found) + "\n")


def _first(detector: ECOD, rows: np.ndarray) -> list[int]:
    """The last scoring leaves O (n, D), the larger -log p of the two tails; its last rows are the scored rows."""
    detector.decision_function(rows)
    contributions = np.asarray(detector.O)[-len(rows) :]
    return [int(d) for d in contributions.argmax(axis=1)]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
