"""The folder in which a notebook runs: like a clone, with the examples and the models, and nothing of it is kept."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def enter() -> None:
    """Change to a new folder with copies of examples/ and models/, and set the style of pictures."""
    folder = Path(tempfile.mkdtemp(prefix="vaekit-notebook-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name in ("examples", "models"):
        shutil.copytree(ROOT / name, folder / name)
    os.chdir(folder)
    os.environ.setdefault("COLUMNS", "100")
    _style()


def _style() -> None:
    import matplotlib as mpl

    from vaekit.chart_style import matplotlib_rc

    mpl.rcParams.update(matplotlib_rc())
    mpl.rcParams["figure.dpi"] = 110
