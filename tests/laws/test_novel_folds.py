"""Novel rows of fold models: every fold model reserves the same probability, that of the smallest one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vaekit.bundle import FoldCalibration
from vaekit.runtime import Model
from vaekit_training.config import make_config
from vaekit_training.data.load import of_array
from vaekit_training.publish import publish_run
from vaekit_training.run import run
from vaekit_training.trained import Trained

TINY = ["training.steps=10", "network.latent_dim=2", "network.hidden=[4]", "draws.default=4", "draws.maximum=16"]
ROW = [0.5, "b", 1.0]


@pytest.fixture(scope="module")
def trained() -> Trained:
    rng, n = np.random.default_rng(0), 61
    x = np.empty((n, 3), dtype=object)
    x[:, 0], x[:, 1], x[:, 2] = rng.normal(size=n), rng.choice(["b", "g"], n), rng.integers(0, 2, n)
    config = make_config(
        {"name": "few", "data": {"source": "memory", "folds": 3}, "likelihood": {"name": "mixed"}}, TINY
    )
    return run(config, device="cpu", rows=of_array(x, config=config.data, likelihood=config.likelihood))


@pytest.fixture(scope="module")
def model(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    root: Path = tmp_path_factory.mktemp("few")
    publish_run(trained, root, draws_report=False)
    with Model.load(root / "few", device="cpu") as loaded:
        yield loaded


def test_the_reserved_probability_is_that_of_the_smallest_fold_model(trained: Trained, model: Model) -> None:
    sizes = [len(trained.splits.without(f).train) for f in range(3)]
    assert len(set(sizes)) > 1
    assert model.manifest.novelty is not None
    assert model.manifest.novelty.rows == min(sizes)


@pytest.mark.parametrize(("row", "outside"), [([0.5, "pink", 1.0], 1), ([0.5, "pink", 2.0], 2)])
def test_a_novel_cell_adds_the_reserved_probability_to_the_elbo_of_each_fold_model(
    model: Model, row: list[object], outside: int
) -> None:
    without = [0.5, None, 1.0 if outside == 1 else None]
    novel, left_out = model.bound([row]), model.bound([without])
    assert novel.fold_elbo is not None
    assert left_out.fold_elbo is not None
    assert model.manifest.novelty is not None
    want = outside * model.manifest.novelty.log_outside
    np.testing.assert_allclose(novel.fold_elbo - left_out.fold_elbo, want, rtol=1e-5)
    np.testing.assert_allclose(novel.elbo - left_out.elbo, want, rtol=1e-5)


def test_a_novel_row_has_the_smallest_p_value(model: Model) -> None:
    calibration, scored = model.calibration(), model.bound([ROW, [0.5, "pink", 1.0]])
    assert isinstance(calibration, FoldCalibration)
    p_value = calibration.verdict(scored).p_value
    assert p_value[1] == calibration.smallest_alpha < p_value[0]
