"""The service with a model of folds: verdicts by the median of the folds, with the same reply fields."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.kinds import Published, as_json, folded_rows
from vaekit import Model

pytestmark = pytest.mark.anyio


async def test_verdicts_are_those_of_the_folds_in_every_format(start: Any, folded: Published) -> None:
    x = folded_rows(60, seed=5)
    x[::4, 1:] *= 9.0
    with Model.load(folded.folder, device="cpu") as own:
        calibration, scored = own.calibration(), own.elbo(x)
        assert not isinstance(calibration, str)
        p_value = calibration.p_value(calibration.scores_to_compare(scored))
        body = {"inputs": as_json(x, own.spec), "alpha": 0.1}
    async with start(folded.root, max_batch_rows=7) as service:
        said = (await service.post("/elbo", body)).json()
        files = {}
        for accept in ("application/x-npy", "application/vnd.apache.arrow.stream"):
            reply = await service.http.post("/elbo", json=body, headers={"accept": accept})
            assert reply.status_code == 200, reply.text
            files[accept] = reply.content
        explained = (await service.post("/elbo", {**body, "explain": 1})).json()
    np.testing.assert_allclose(said["p_value"], p_value)
    assert said["is_anomaly"] == (p_value <= 0.1).tolist()
    assert 0 < sum(said["is_anomaly"]) < 60
    assert "fold_elbo" not in said
    assert "fold_elbo" not in explained
    by_npy = np.load(io.BytesIO(files["application/x-npy"]), allow_pickle=False)
    assert "fold_elbo" not in (by_npy.dtype.names or ())
    np.testing.assert_array_equal(by_npy["p_value"], said["p_value"])
    by_arrow = pa.ipc.open_stream(files["application/vnd.apache.arrow.stream"]).read_all()
    assert "fold_elbo" not in by_arrow.column_names
    assert by_arrow["is_anomaly"].to_pylist() == said["is_anomaly"]


async def test_below_the_smallest_p_value_of_the_folds_no_row_is_an_anomaly(start: Any, folded: Published) -> None:
    async with start(folded.root) as service:
        reply = await service.post("/elbo", {"inputs": [[0.0, 0.0, 0.0]], "alpha": 0.02})
        assert reply.json()["is_anomaly"] == [False]
        assert "of 96 calibration rows in 3 folds, so no row can be an anomaly" in reply.json()["p_value_reason"]
        shown = (await service.http.get("/models/folded")).json()
        assert shown["calibration"]["entries"][0]["guarantee"] == 1.5
