"""A scorer without a model, whose scores are easy to compute; a live service; a file of real rows."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer

from tests.live import serving
from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.bundle.input_spec import Column
from vaekit.errors import InputError
from vaekit.scoring import APPENDED, Scores, score_file
from vaekit.scoring.batch.options import Options

ABC = VectorSpec(columns=(Column(name="b"), Column(name="a"), Column(name="c", kind="binary")))


@dataclass
class Squares:
    """elbo = -sum x^2 - 1; a row is an anomaly if its elbo is below -100."""

    spec: VectorSpec | ImageSpec = ABC
    model: str = "squares@1"
    alpha: float = 0.05
    reason: str | None = None
    alpha_reason: str | None = None
    most_missing: int = 0
    id_column: str | None = None
    batch_rows: int = 4
    appended: pa.Schema = APPENDED
    held_out: NDArray[np.float64] | None = None
    held_out_p_values: NDArray[np.float64] | None = None
    facts: dict[str, Any] = field(default_factory=lambda: {"model": "squares@1"})
    seen: list[NDArray[Any]] = field(default_factory=list)

    def score(self, x: NDArray[Any]) -> Scores:
        self.seen.append(x)
        log_likelihood = -np.square(x.reshape(len(x), -1).astype(np.float64)).sum(axis=1)
        elbo, kl = log_likelihood - 1.0, np.ones(len(x))
        if self.reason is not None:
            return Scores(elbo, log_likelihood, kl, None, None)
        p_value = np.where(elbo < -100.0, 0.01, 0.5)
        return Scores(elbo, log_likelihood, kl, p_value, p_value <= self.alpha)

    @property
    def rows(self) -> NDArray[Any]:
        """All rows that were scored."""
        return np.concatenate(self.seen)


@pytest.fixture
def scorer() -> Squares:
    return Squares()


@pytest.fixture
def image_scorer() -> Squares:
    return Squares(ImageSpec(height=2, width=2, channels=1, two_valued=True))


@pytest.fixture
def copied(models_dir: Path, tmp_path: Path) -> Path:
    """A folder of models with a copy of breast-cancer, which a test may change."""
    shutil.copytree(models_dir / "breast-cancer" / "1", tmp_path / "models" / "breast-cancer" / "1")
    return tmp_path / "models"


@pytest.fixture(scope="session")
def url(models_dir: Path) -> Iterator[str]:
    """A live service with the committed bundles."""
    with serving(models_dir) as address:
        yield address


@pytest.fixture(scope="session")
def cancer_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All 569 rows with column names, and their diagnosis as the first column."""
    data = load_breast_cancer()
    columns = {"diagnosis": [data.target_names[t] for t in data.target]}
    columns |= {str(name): data.data[:, d] for d, name in enumerate(data.feature_names)}
    path = tmp_path_factory.mktemp("cancer") / "cancer.csv"
    pyarrow.csv.write_csv(pa.table(columns), path)
    return path


def scored(scorer: Any, source: Path) -> pa.Table:
    output = source.with_name("scored.parquet")
    score_file(scorer, source, output)
    return pq.read_table(output)


@pytest.fixture
def refused(scorer, tmp_path) -> Callable[[Path], str]:
    """Scores an input that is refused, and returns the message. Checks that no file is left."""

    def message(source: Path, by: Any = scorer, *, strict: bool = False) -> str:
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(InputError) as caught:
            score_file(by, source, tmp_path / "out.parquet", options=Options(strict=strict))
        assert sorted(tmp_path.rglob("*")) == before
        return str(caught.value)

    return message
