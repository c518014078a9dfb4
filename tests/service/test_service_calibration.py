"""/models/{name}/calibration: histograms of the held-out scores, by group and by fold, and thresholds."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.kinds import Published
from tests.service.test_service_openapi import check
from vaekit.bundle.calibration import Calibration
from vaekit.runtime import Model
from vaekit_service.http.calibration import MAX_BINS, round_edges

pytestmark = pytest.mark.anyio

TEMPLATES = ("/models/{name}/calibration", "/models/{name}/versions/{version}/calibration")


async def told(start: Callable[..., Any], published: Published) -> dict[str, Any]:
    async with start(published.root) as running:
        reply = await running.http.get(f"/models/{published.name}/calibration")
    check(reply, TEMPLATES[0], 200)
    found: dict[str, Any] = reply.json()
    return found


@pytest.mark.parametrize("name", ["breast-cancer", "digits"])
async def test_the_histogram_counts_every_held_out_row(service: Any, name: str, models_dir: Path) -> None:
    latest, version = [await service.http.get(template.format(name=name, version=1)) for template in TEMPLATES]
    check(latest, TEMPLATES[0], 200)
    assert latest.json() == version.json()
    (every,) = latest.json()["groups"]
    with Model.load(models_dir / name, device="cpu") as model:
        held_out = model.calibration()
    assert isinstance(held_out, Calibration)
    assert every["rows"] == held_out.n == sum(every["counts"]) + every["above"] + every["novel"]
    counts = [
        np.count_nonzero((held_out.scores >= low) & (held_out.scores < high)) for low, high in pairwise(every["edges"])
    ]
    assert counts == every["counts"]
    assert (every["group"], every["fold_rows"], latest.json()["guarantee"]) == (None, None, 1.0)


async def test_a_threshold_is_that_of_the_calibration(service: Any, models_dir: Path) -> None:
    (every,) = (await service.http.get("/models/digits/calibration")).json()["groups"]
    with Model.load(models_dir / "digits", device="cpu") as model:
        held_out = model.calibration()
    assert isinstance(held_out, Calibration)
    assert every["smallest_alpha"] == held_out.smallest_alpha == every["thresholds"][0]["alpha"]
    for one in every["thresholds"]:
        assert one["score"] == held_out.threshold(one["alpha"])


async def test_groups_have_histograms_of_their_own(start: Any, grouped: Published) -> None:
    found = await told(start, grouped)
    every, *groups = found["groups"]
    assert every["group"] == "all rows"
    assert len(groups) > 1
    assert all(group["group"].startswith("site=") and group["rows"] < every["rows"] for group in groups)


async def test_folds_are_counted_together(start: Any, folded: Published) -> None:
    found = await told(start, folded)
    (every,) = found["groups"]
    assert found["guarantee"] == pytest.approx(1.5)
    assert len(every["fold_rows"]) == 3
    assert sum(every["fold_rows"]) == every["rows"] == sum(every["counts"]) + every["above"] + every["novel"]


SCORES = {
    "usual": np.random.default_rng(0).standard_normal(500) * 20,
    "one": np.array([3.25]),
    "equal": np.full(50, -7.5),
    "far": np.append(np.random.default_rng(1).standard_normal(300), [1e6, 1e300]),
    "large": np.random.default_rng(2).standard_normal(200_000),
    "tiny": 1e-12 * np.arange(20.0),
    "at an edge": np.array([0.7]),  # 7 * 0.1 is above it
    "below an edge": np.array([-0.24, -0.22, -0.2]),
    "none": np.empty(0),
}


@pytest.mark.parametrize("kind", SCORES)
def test_bins_have_round_edges_and_are_few(kind: str) -> None:
    edges, scores = round_edges(SCORES[kind]), SCORES[kind]
    assert 2 <= len(edges) <= MAX_BINS + 3  # edges are one more, and rounding adds one at either end
    assert (np.diff(edges) > 0).all()
    if scores.size:
        assert edges[0] <= scores.min()
        assert edges[-1] > np.quantile(scores, 0.9)
