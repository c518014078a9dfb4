"""The service with a model calibrated by groups: the reply says which group a row was compared with."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.kinds import GROUPED_NAMES, Published, grouped_rows
from vaekit import Model

pytestmark = pytest.mark.anyio

FORMATS = ("application/x-npy", "application/vnd.apache.arrow.stream")


def inputs() -> list[list[Any]]:
    rows = grouped_rows(80, seed=6).tolist()
    rows[3][4] = "unheard of"
    return rows


async def test_every_format_has_the_group_of_each_row_and_whether_it_is_pooled(start: Any, grouped: Published) -> None:
    rows = inputs()
    with Model.load(grouped.folder, device="cpu") as own:
        want = own.elbo(rows)
    async with start(grouped.root, max_batch_rows=7) as service:
        said = (await service.post("/elbo", {"inputs": rows, "alpha": 0.1})).json()
        named = (await service.post("/elbo", {"inputs": [dict(zip(GROUPED_NAMES, rows[3], strict=True))]})).json()
        alone = [(await service.post("/elbo", {"inputs": [row], "alpha": 0.1})).json() for row in rows[:10]]
        files = {}
        for accept in FORMATS:
            reply = await service.http.post("/elbo", json={"inputs": rows, "alpha": 0.1}, headers={"accept": accept})
            assert reply.status_code == 200, reply.text
            files[accept] = reply.content
    assert said["group"] == want.group.tolist()
    assert said["group_pooled"] == want.group_pooled.tolist()
    np.testing.assert_array_equal(said["p_value"], want.p_value)
    assert (said["group"][3], said["group_pooled"][3], said["novel"][3]) == ("all rows", True, ["site"])
    assert named["group"] == ["all rows"]
    assert "group_node" not in said
    for name in ("group", "group_pooled", "p_value", "is_anomaly"):
        assert [one[name][0] for one in alone] == said[name][:10]
    by_npy = np.load(io.BytesIO(files[FORMATS[0]]), allow_pickle=False)
    by_arrow = pa.ipc.open_stream(files[FORMATS[1]]).read_all()
    assert by_npy["group"].tolist() == by_arrow["group"].to_pylist() == said["group"]
    assert by_npy["group_pooled"].tolist() == by_arrow["group_pooled"].to_pylist() == said["group_pooled"]


async def test_without_a_p_value_there_is_no_group_and_an_alpha_too_small_names_groups(
    start: Any, grouped: Published
) -> None:
    async with start(grouped.root) as service:
        said = (await service.post("/elbo", {"inputs": inputs(), "seed": 1})).json()
        assert "group" not in said
        said = (await service.post("/elbo", {"inputs": inputs(), "alpha": 0.01})).json()
        assert "so no row there can be an anomaly" in said["p_value_reason"]
        assert "site=" in said["p_value_reason"]
        shown = (await service.http.get("/models/grouped")).json()
        assert shown["calibration"]["entries"][0]["groups"]["by"] == ["site", "observed_cells"]


async def test_replies_of_a_model_without_groups_do_not_change(start: Any, folded: Published) -> None:
    async with start(folded.root) as service:
        said = (await service.post("/elbo", {"inputs": [[0.0, 0.0, 0.0]]})).json()
    assert not {"group", "group_pooled", "group_node"} & set(said)
