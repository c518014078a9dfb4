"""The service at float16: replies, model details, and models without float16 graphs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kinds import Published
from vaekit import Model
from vaekit.errors import ConfigError
from vaekit_service.settings import load

pytestmark = pytest.mark.anyio
ROW = [0.3, -1e-3, 1e5]


async def test_a_service_at_float16_scores_with_float16_graphs_and_states_their_error(
    start: Any, half: Published
) -> None:
    with Model.load(half.folder, device="cpu", precision="float16") as own:
        want = own.elbo([ROW])
        p_value = own.calibration().p_value(want.score)  # type: ignore[union-attr]  # it has one
        error = own.manifest.metrics["float16_elbo_max"].value
    async with start(half.root, precision="float16") as service:
        said = (await service.post("/elbo", {"inputs": [ROW]})).json()
        assert said["elbo"] == pytest.approx(want.elbo.tolist(), rel=1e-5)
        assert said["p_value"] == p_value.tolist()
        shown = (await service.http.get("/models/half")).json()
        assert shown["precision"] == "float16"
        assert shown["metrics"]["float16_elbo_max"]["value"] == error
        assert shown["half"]["operations"].keys() == {"encode", "elbo", "surprise"}
    async with start(half.root) as service:
        other = (await service.post("/elbo", {"inputs": [ROW]})).json()
        assert other["elbo"] != said["elbo"]
        assert (await service.http.get("/models/half")).json()["precision"] == "float32"


async def test_a_model_without_float16_graphs_fails_to_load_with_the_setting_to_use(start: Any, copied: Any) -> None:
    async with start(copied, precision="float16") as service:
        [model] = (await service.http.get("/models")).json()["models"]
        assert model["state"] == "failed"
        assert model["reason"].startswith("breast-cancer/1: no float16 graphs; to export them, train with")


def test_an_unknown_precision_is_refused_at_start_up() -> None:
    with pytest.raises(ConfigError, match="VAE_PRECISION='bf16': Input should be 'float32' or 'float16'"):
        load(precision="bf16")
