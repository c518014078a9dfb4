"""Makes the model and the Parquet files for scoring benchmarks. The model is trained for only a few steps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from vaekit_training.config import make_config
from vaekit_training.run import train

D = 30
HIDDEN = (128, 128)
STEPS = 100
TRAINED_ON = 4_096
FILE_ROWS = 1_000_000
GROUP_ROWS = 100_000


def rows(n: int, seed: int = 0) -> NDArray[np.float64]:
    """Correlated rows in raw units, (n, D)."""
    mixing = np.random.default_rng(0).standard_normal((8, D))
    rng = np.random.default_rng([1, seed])
    return np.asarray(rng.standard_normal((n, 8)) @ mixing + 0.5 * rng.standard_normal((n, D)) + 5.0)


def model(folder: Path, likelihood: str = "gaussian", *, half: bool = False) -> Path:
    """Train and publish a model under folder/models, and return its bundle.

    Args:
        folder: folder for the training rows and the models.
        likelihood: name of the likelihood; "auto" is the recipe of networks, and "kernel" the default recipe.
        half: whether to export float16 graphs as well.
    """
    source = folder / "train.npy"
    np.save(source, rows(TRAINED_ON))
    tree: dict[str, Any] = {"name": f"scoring-{likelihood}", "data": {"source": str(source)}}
    if likelihood == "kernel":
        tree["likelihood"] = {"name": "auto"}
    else:
        tree |= {
            "likelihood": {"name": likelihood},
            "network": {"hidden": list(HIDDEN)},
            "training": {"steps": STEPS, "evaluate_every": STEPS, "threads": 1},
            "export": {"half": half},
        }
    manifest = train(make_config(tree), folder / "models", device="cpu")
    return folder / "models" / manifest.name / str(manifest.version)


def generate(folder: Path, n: int) -> Path:
    """Make a folder of n rows in files of FILE_ROWS. All full files are hard links to one file.

    The scorer still reads each of them, but 10^8 rows do not need 24 GB of disk.
    """
    folder.mkdir(parents=True)
    first = folder / "part-00000.parquet"
    for number, at in enumerate(range(0, n, FILE_ROWS)):
        path, size = folder / f"part-{number:05}.parquet", min(FILE_ROWS, n - at)
        if number and size == FILE_ROWS:
            os.link(first, path)
        else:
            x = rows(size, number)
            table = pa.table({f"x{d}": x[:, d] for d in range(D)})
            parquet.write_table(table, path, row_group_size=GROUP_ROWS)
    return folder
