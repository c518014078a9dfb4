"""/elbo with similar: the same training rows in every reply format and client, and who is refused."""

from __future__ import annotations

import json
import re
import shutil
from typing import Any

import httpx
import numpy as np
import pytest

from tests.kinds import Published, curve_rows
from tests.service.test_service_arrow import ARROW, stream, table_of
from tests.service.test_service_openapi import check
from tests.service.test_service_wire import NPY, npy, records
from vaekit.bundle.input_spec import Column, VectorSpec
from vaekit.client import AsyncClient
from vaekit.client.wire import ElboOptions
from vaekit.errors import InputError
from vaekit.runtime import Model
from vaekit.runtime.results import Similar
from vaekit.tabular.explained_cells import named_similar
from vaekit_service.codecs.arrow import writer
from vaekit_service.engine.answers import make_job
from vaekit_service.engine.limits import Limits
from vaekit_service.messages import ParsedRequest

pytestmark = pytest.mark.anyio


def listed(rows: Any) -> list[list[float | None]]:
    """Rows as JSON lists, with null for a missing cell."""
    return [[None if np.isnan(cell) else float(cell) for cell in row] for row in rows]


@pytest.mark.parametrize("options", [{}, {"explain": 2}, {"seed": 5, "features": True}, {"log_evidence": False}])
async def test_the_similar_rows_are_those_of_the_runtime(
    on_shown: Any, shown: Published, options: dict[str, Any]
) -> None:
    rows = curve_rows()[5:15]
    reply = await on_shown.post("/elbo", {"inputs": listed(rows), "similar": 2, **options})
    check(reply, "/elbo", 200)
    with Model.load(shown.folder, device="cpu") as model:
        here = model.similar(rows, top=2)
    assert here.row is not None
    assert here.rows is not None
    for n, similar in enumerate(reply.json()["similar"]):
        assert [one["row"] for one in similar] == here.row[n].tolist()
        assert [one["weight"] for one in similar] == pytest.approx(here.weight[n].tolist(), rel=1e-4)
        assert [list(one["values"].values()) for one in similar] == listed(here.rows[n])
        assert list(similar[0]["values"]) == ["a", "b", "c"]
    plain = await on_shown.post("/elbo", {"inputs": listed(rows), **options})
    assert {name: value for name, value in reply.json().items() if name != "similar"} == plain.json()


async def test_npy_and_arrow_replies_and_the_client_have_the_same_rows(on_shown: Any) -> None:
    import pyarrow as pa

    rows = curve_rows()[:20]
    told = (await on_shown.post("/elbo", {"inputs": listed(rows), "similar": 3})).json()["similar"]
    array = records(await on_shown.http.post("/elbo?similar=3", content=npy(rows), headers=NPY))["similar"]
    table = pa.table(dict(zip("abc", rows.T, strict=True)))
    by_table = table_of(await on_shown.http.post("/elbo?similar=3", content=stream(table), headers=ARROW))["similar"]
    transport = httpx.ASGITransport(on_shown.app)
    async with AsyncClient("http://service", transport=transport) as client:
        found = (await client.elbo(rows.tolist(), similar=3)).similar
        assert (await client.elbo(rows)).similar is None
    assert found is not None
    for name in ("row", "weight", "values"):  # numpy compares NaN as equal only outside of records
        np.testing.assert_array_equal(found[name], array[name])
    assert array.shape == (20, 3)
    assert by_table.to_pylist() == told
    assert [[one["row"] for one in row] for row in told] == array["row"].tolist()
    assert [[list(one["values"].values()) for one in row] for row in told] == [listed(row) for row in array["values"]]
    assert any(None in one["values"].values() for row in told for one in row)


@pytest.mark.parametrize(
    ("similar", "message"),
    [
        (6, "similar: 6 is not between 1 and 5"),
        (-1, "similar: .*greater than or equal to 0"),
        (True, "similar: "),
    ],
)
async def test_an_invalid_number_of_similar_rows_is_refused(on_shown: Any, similar: Any, message: str) -> None:
    reply = await on_shown.post("/elbo", {"inputs": listed(curve_rows()[:1]), "similar": similar})
    assert reply.status_code == 422
    assert re.match(message, reply.json()["detail"]), reply.text


async def test_a_model_without_kernels_refuses(service: Any, benign_rows: Any) -> None:
    reply = await service.post("/elbo", {"inputs": benign_rows[:1].tolist(), "similar": 1})
    check(reply, "/elbo", 422)
    assert "similar: breast-cancer does not name similar training rows" in reply.json()["detail"]


async def test_a_bundle_without_its_training_rows_refuses(start: Any, shown: Published, tmp_path: Any) -> None:
    shutil.copytree(shown.folder, tmp_path / "shown")
    path = tmp_path / "shown" / "1" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "exemplars": None}))
    async with start(tmp_path) as hidden:
        reply = await hidden.post("/elbo", {"inputs": listed(curve_rows()[:1]), "similar": 1})
        assert reply.status_code == 422
        assert "train again with privacy.show_exemplars = true" in reply.json()["detail"]
        assert (await hidden.post("/elbo", {"inputs": listed(curve_rows()[:1])})).status_code == 200


async def test_a_request_is_checked_before_it_is_queued_and_shares_a_batch_only_with_equal_ones(
    shown: Published, breast_cancer: Model
) -> None:
    limits = Limits(max_rows=10, max_cells=1000, max_work=10**6)
    with Model.load(shown.folder, device="cpu") as model:
        lanes = {
            make_job("elbo", model, ParsedRequest(ElboOptions(similar=k), curve_rows()[1:3]), limits, 10).lane
            for k in (0, 1, 2)
        }
        assert len(lanes) == 3
    with pytest.raises(InputError, match="similar: breast-cancer does not name"):
        make_job("elbo", breast_cancer, ParsedRequest(ElboOptions(similar=1), np.zeros((1, 30))), limits, 10)


async def test_the_values_of_similar_rows_count_as_cells_of_the_request(start: Any, shown: Published) -> None:
    async with start(shown.root, max_cells=2 * 4 * 3) as small:
        for n, similar, status in ((2, 4, 200), (3, 4, 413), (3, 2, 200)):
            reply = await small.post("/elbo", {"inputs": listed(curve_rows()[:n]), "similar": similar})
            assert reply.status_code == status, reply.text
        assert (
            "with similar = 4 one request to this model may have at most 2"
            in ((await small.post("/elbo", {"inputs": listed(curve_rows()[:3]), "similar": 4})).json()["detail"])
        )


async def test_the_work_limit_includes_similar_rows(start: Any, shown: Published) -> None:
    draws, dim = shown.trained.config.draws.default, 3
    cost = (2 * draws + dim) * dim  # type: ignore[operator]  # the config has a number of draws
    async with start(shown.root, max_work=2 * cost) as small:
        for n, similar, status in ((2, 1, 200), (3, 1, 413), (3, 0, 200)):
            reply = await small.post("/elbo", {"inputs": listed(curve_rows()[:n]), "similar": similar})
            assert reply.status_code == status, reply.text


def test_categories_of_similar_rows_are_named_in_json_and_arrow() -> None:
    columns = (Column(name="city", kind="category", levels=("Oslo", "Rome"), may_be_missing=True), Column(name="x"))
    spec = VectorSpec(columns=columns)
    known = np.array([[[1.0, 2.5], [np.nan, 0.0]]])  # (1, 2, 2)
    found = Similar(index=np.array([[0, 1]]), weight=np.array([[0.7, 0.2]]), row=np.array([[4, 9]]), rows=known)
    want = [[
        {"row": 4, "weight": 0.7, "values": {"city": "Rome", "x": 2.5}},
        {"row": 9, "weight": 0.2, "values": {"city": None, "x": 0.0}},
    ]]  # fmt: skip
    assert list(named_similar(found.records(), spec)) == want
    assert writer._similar(found.records(), spec).to_pylist() == want
