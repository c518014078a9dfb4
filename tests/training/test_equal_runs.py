"""Equal runs give equal bundles, byte for byte, if SOURCE_DATE_EPOCH fixes the time of creation."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from vaekit.bundle import Manifest
from vaekit.bundle.write import created
from vaekit.errors import ConfigError
from vaekit.runtime import Model
from vaekit.scoring import publish_calibration
from vaekit_training.config import make_config
from vaekit_training.run import train

TREE = {
    "name": "twins",
    "data": {"source": "rows.npy"},
    "network": {"hidden": [4], "latent_dim": 2},
    "training": {"steps": 20},
}


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_equal_runs_give_equal_bundles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(200, 3)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    bundles = []
    for models in ("first", "second"):
        train(make_config(TREE), models)
        with Model.load(Path(models) / "twins", device="cpu") as model:
            publish_calibration(model, tmp_path / "rows.npy")
        bundles.append(contents(Path(models)))
        assert model.manifest.created == datetime.fromtimestamp(1_700_000_000, UTC)
    assert "twins/1/report/report.html" in bundles[0]
    assert bundles[0] == bundles[1]
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    later = train(make_config(TREE), "third")
    before = Manifest.model_validate_json(bundles[0]["twins/1/manifest.json"])
    assert later.created > before.created
    assert later.model_copy(update={"created": before.created}) == before


def test_the_time_is_now_unless_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert abs((created() - datetime.now(UTC)).total_seconds()) < 60
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert created() == datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("value", ["soon", "1.5", "9" * 30])
def test_a_time_that_is_no_time_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "SOURCE_DATE_EPOCH", value)
    with pytest.raises(ConfigError, match=f"^environment variable SOURCE_DATE_EPOCH={value}: expected whole seconds"):
        created()
