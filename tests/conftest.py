"""Fixtures for all tests: the two committed bundles, small trained models, and datasets that ship with scikit-learn."""

from __future__ import annotations

import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; several test processes run at once
# Shells start background jobs with SIGINT ignored, and processes that the tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import importlib.abc
import importlib.util
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings
from numpy.typing import NDArray

from vaekit.runtime import Model

if TYPE_CHECKING:
    from tests.kinds import Published

# An example may take long on a busy machine.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

ROOT = Path(__file__).resolve().parents[1]
T = TypeVar("T")


class SkipWithoutTorch(importlib.abc.MetaPathFinder):
    """Skips the test, fixture or module that imports torch; for environments without it (.ci/pythons.py)."""

    def find_spec(self, fullname: str, _path: Sequence[str] | None, _target: object = None) -> None:
        if fullname == "torch":
            pytest.skip("torch is not installed", allow_module_level=True)


if importlib.util.find_spec("torch") is None:
    sys.meta_path.insert(0, SkipWithoutTorch())


def once_per_run(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], T]) -> T:
    """The result of make(folder). The first process that needs it calls make; the others load the pickled result."""
    base = factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "once"
    shared.mkdir(exist_ok=True)
    kept = shared / f"{name}.pickle"
    with FileLock(shared / f"{name}.lock"):
        if not kept.exists():
            (shared / name).mkdir()
            kept.write_bytes(pickle.dumps(make(shared / name)))
        found: T = pickle.loads(kept.read_bytes())
    return found


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """Folder of the committed bundles."""
    return ROOT / "models"


@pytest.fixture(scope="session")
def breast_cancer(models_dir: Path) -> Iterator[Model]:
    """The committed model of 30 real columns, with a gaussian likelihood."""
    with Model.load(models_dir / "breast-cancer", device="cpu") as model:
        yield model


@pytest.fixture(scope="session")
def digits(models_dir: Path) -> Iterator[Model]:
    """The committed model of 8 x 8 images, with a bernoulli likelihood."""
    with Model.load(models_dir / "digits", device="cpu") as model:
        yield model


@pytest.fixture(scope="session")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """A model of columns of five kinds, three of which may be missing, trained once per test run."""
    from tests.kinds import train_mixed

    return once_per_run(tmp_path_factory, "mixed", train_mixed)


@pytest.fixture(scope="session")
def several(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """An ensemble of two members on three real columns, trained once per test run."""
    from tests.kinds import train_several

    return once_per_run(tmp_path_factory, "several", train_several)


@pytest.fixture(scope="session")
def folded(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Three fold models of two members, three real columns, one of which may be missing; trained once per test run."""
    from tests.kinds import train_folded

    return once_per_run(tmp_path_factory, "folded", train_folded)


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """A model with a kernel prior whose bundle holds its training rows, trained once per test run."""
    from tests.kinds import train_shown

    return once_per_run(tmp_path_factory, "shown", train_shown)


@pytest.fixture(scope="session")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """A model calibrated by a category and the number of observed cells, trained once per test run."""
    from tests.kinds import train_grouped

    return once_per_run(tmp_path_factory, "grouped", train_grouped)


@pytest.fixture(scope="session")
def windowed(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """A model of windows of two series, with missing cells and a category, trained once per test run."""
    from tests.kinds import train_windowed

    return once_per_run(tmp_path_factory, "windowed", train_windowed)


@pytest.fixture(scope="session")
def half(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """A model of three real columns that also has float16 graphs, trained once per test run."""
    from tests.kinds import train_half

    return once_per_run(tmp_path_factory, "half", train_half)


@pytest.fixture(scope="session")
def benign_rows() -> NDArray[np.float64]:
    """357 benign rows, (N, 30), raw units."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    return np.asarray(data.data[data.target == 1], dtype=np.float64)


@pytest.fixture(scope="session")
def digit_images() -> NDArray[np.uint8]:
    """1797 images, (N, 8, 8, 1), 0..255."""
    from vaekit_training.data.load import read

    pictures = read("digits").images
    assert pictures is not None
    return pictures
