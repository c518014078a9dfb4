"""/elbo with explain: the same explanation in every reply format, and its limits."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tests.kinds import Published, as_json, mixed_rows
from tests.service.test_service_arrow import ARROW, as_table, stream, table_of
from tests.service.test_service_openapi import check
from tests.service.test_service_wire import NPY, npy, records
from vaekit.runtime import Model
from vaekit.runtime.explain.explanation import passes
from vaekit.tabular import encode
from vaekit.tabular.explained_cells import named

pytestmark = pytest.mark.anyio


async def test_the_explained_cells_are_those_of_the_runtime(
    service: Any, breast_cancer: Model, benign_rows: Any
) -> None:
    reply = await service.post("/elbo", {"inputs": benign_rows[:4].tolist(), "explain": 3})
    check(reply, "/elbo", 200)
    here = breast_cancer.explain(benign_rows[:4], top=3)
    for got, want in zip(reply.json()["explanation"], named(here.explanation, breast_cancer.spec), strict=True):
        for cell, other in zip(got, want, strict=True):
            assert cell.pop("feature") == other.pop("feature")
            assert (cell.pop("probability"), other.pop("probability")) == (None, None)
            assert cell == pytest.approx(other, rel=1e-4, abs=1e-4)
    assert reply.json()["kl_p_value"] == pytest.approx(here.kl_p_value.tolist())
    assert "feature_log_likelihood" not in reply.json()


async def test_tables_of_every_kind_and_images_are_explained(on_mixed: Any, service: Any, digit_images: Any) -> None:
    rows = mixed_rows(20, seed=3).tolist()
    reply = await on_mixed.post("/elbo", {"inputs": rows, "explain": 5, "features": True})
    check(reply, "/elbo", 200)
    assert [len(cells) for cells in reply.json()["explanation"]] == reply.json()["observed_count"]
    assert "feature_log_likelihood" in reply.json()
    pictures = await service.post("/models/digits/elbo", {"inputs": digit_images[:2].tolist(), "explain": 2})
    check(pictures, "/models/{name}/elbo", 200)
    assert pictures.json()["explanation"][0][0]["feature"].startswith("pixel (")


async def test_npy_and_arrow_replies_have_the_same_cells(on_mixed: Any, mixed: Published) -> None:
    with Model.load(mixed.folder, device="cpu") as model:
        x, spec = encode(mixed_rows(20, seed=3), model.spec), model.spec
    listed = (await on_mixed.post("/elbo", {"inputs": as_json(x, spec), "explain": 5})).json()
    array = records(await on_mixed.http.post("/elbo?explain=5", content=npy(x), headers=NPY))
    table = table_of(await on_mixed.http.post("/elbo?explain=5", content=stream(as_table(x, spec)), headers=ARROW))
    assert array["explanation"].shape == (20, 5)
    told = named(array["explanation"], spec)
    for by_json, by_array, by_table in zip(listed["explanation"], told, table["explanation"].to_pylist(), strict=True):
        assert by_json == by_array
        for cell, other in zip(by_json, by_table, strict=True):
            assert {name: value for name, value in cell.items() if not isinstance(value, str)} == {
                name: other[name] for name, value in cell.items() if not isinstance(value, str)
            }
            assert cell["feature"] == other["feature"]
    np.testing.assert_array_equal(array["kl_p_value"], listed["kl_p_value"])
    assert table["kl_p_value"].to_pylist() == listed["kl_p_value"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"explain": 31}, "explain: 31 is not between 1 and 30"),
        ({"explain": 0}, "explain: .*greater than or equal to 1"),
        ({"explain": 65}, "explain: .*less than or equal to 64"),
        ({"explain": True}, "explain: "),
        ({"explain": 3, "seed": 1}, "explain: needs the 16 default draws"),
        ({"explain": 3, "num_samples": 8}, "explain: needs the 16 default draws"),
    ],
)
async def test_a_request_that_cannot_be_explained_is_refused(
    service: Any, benign_rows: Any, options: dict[str, Any], message: str
) -> None:
    reply = await service.post("/elbo", {"inputs": benign_rows[:1].tolist(), **options})
    assert reply.status_code == 422
    assert re.match(message, reply.json()["detail"]), reply.text


async def test_the_work_limit_includes_the_passes_of_explanations(
    models_dir: Any, start: Any, breast_cancer: Model, benign_rows: Any
) -> None:
    cost = passes(breast_cancer, 2) * 30
    async with start(models_dir, default_model="breast-cancer", max_work=3 * cost) as small:
        for n, status in ((3, 200), (4, 413)):
            reply = await small.post("/elbo", {"inputs": benign_rows[:n].tolist(), "explain": 2})
            assert reply.status_code == status, reply.text
        plain = await small.post("/elbo", {"inputs": benign_rows[:4].tolist(), "features": True})
        assert plain.status_code == 200
    assert cost == 30 * (16 + 2 * 16 * 8 + 2 * (16 + 64))
