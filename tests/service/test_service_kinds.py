"""The service with models of every kind of column, with missing cells, and with ensembles."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.conftest import ROOT
from tests.kinds import NAMES, Published, as_json, mixed_rows
from tests.service.test_service_openapi import check
from tests.service.test_service_wire import NPY, npy, records
from vaekit.runtime import Model
from vaekit_service.example import curl

pytestmark = pytest.mark.anyio
ROW = [0.5, 2.0, 3, 1, "red"]
OLD = ROOT / "tests" / "old" / "sensors"  # a bundle of format 1.0


async def test_every_reply_for_a_mixed_table_matches_the_openapi_document(on_mixed: Any) -> None:
    some = dict(zip(NAMES, ROW, strict=True))
    del some["size"]
    for body in ({"inputs": [ROW, [0.5, None, 3, None, None]]}, {"inputs": [some]}):
        check(await on_mixed.post("/elbo", {**body, "features": True}), "/elbo", 200)
        check(await on_mixed.post("/encode", body), "/encode", 200)
    sampled = await on_mixed.post("/sample", {"n": 5, "seed": 1, "observe": True})
    check(sampled, "/sample", 200)
    decoded = await on_mixed.post("/decode", {"latents": sampled.json()["latents"]})
    check(decoded, "/decode", 200)
    reply = decoded.json()
    assert {row[4] for row in reply["mean"]} <= {"blue", "green, dark", "red"}
    np.testing.assert_allclose(np.sum(reply["probabilities"]["colour"], axis=1), 1.0, rtol=1e-6)
    levels = ("blue", "green, dark", "red")
    assert [levels[int(np.argmax(p))] for p in reply["probabilities"]["colour"]] == [row[4] for row in reply["mean"]]


async def test_every_reply_of_an_ensemble_matches_the_openapi_document(on_several: Any, several: Published) -> None:
    rows = several.trained.rows.x[:3].tolist()
    encoded = await on_several.post("/encode", {"inputs": rows})
    check(encoded, "/encode", 200)
    assert np.shape(encoded.json()["mu"]) == (3, 2, 2)
    sampled = await on_several.post("/sample", {"n": 4})
    check(sampled, "/sample", 200)
    members = sampled.json()["members"]
    assert set(members) <= {0, 1}
    decoded = await on_several.post("/decode", {"latents": sampled.json()["latents"], "members": members})
    check(decoded, "/decode", 200)
    np.testing.assert_allclose(decoded.json()["mean"], sampled.json()["samples"], rtol=1e-5)
    check(await on_several.post("/elbo", {"inputs": rows, "features": True}), "/elbo", 200)


async def test_sampled_rows_can_be_scored(on_mixed: Any) -> None:
    drawn = (await on_mixed.post("/sample", {"n": 50, "seed": 2, "observe": True})).json()["samples"]
    reply = await on_mixed.post("/elbo", {"inputs": drawn})
    assert reply.status_code == 200, reply.text
    assert reply.json()["observed_count"] == [5] * 50


async def test_a_row_with_more_missing_cells_than_any_training_row_is_novel(on_mixed: Any, mixed: Published) -> None:
    rows = [ROW, [0.5, None, 3, None, None], [0.5, None, 3, 1, "blue"]]  # 5, 2 and 4 observed
    reply = (await on_mixed.post("/elbo", {"inputs": rows, "alpha": 0.1})).json()
    assert reply["observed_count"] == [5, 2, 4]
    assert reply["novel"] == [[], ["size", "on", "colour"], []]
    assert reply["is_anomaly"][1]
    assert (reply["alpha"], reply["p_value_reason"]) == (0.1, None)
    with Model.load(mixed.folder, device="cpu") as model:
        x = model.elbo(rows)
    array = np.array([[0.5, 2, 3, 1, 2], [0.5, np.nan, 3, np.nan, np.nan], [0.5, np.nan, 3, 1, 0]])
    by_npy = await on_mixed.http.post("/elbo?alpha=0.1", content=npy(array), headers=NPY)
    got = records(by_npy)
    assert got["novel"].tolist() == ["", '["size","on","colour"]', ""]
    np.testing.assert_array_equal(got["p_value"], reply["p_value"])
    np.testing.assert_array_equal(got["is_anomaly"], reply["is_anomaly"])
    np.testing.assert_allclose(got["elbo"], x.elbo, rtol=1e-5)


@pytest.mark.parametrize(
    ("row", "novel"),
    [
        ([None, 2.0, 3, 1, "red"], []),  # other columns had missing cells in training, and one is not too many
        ([0.5, -2.0, 3, 1, "red"], ["size"]),
        ([0.5, 2.0, 3.5, 2, "pink"], ["stops", "on", "colour"]),
        ([0.5, 2.0, 3, 1, 2], ["colour"]),
    ],
)
async def test_a_cell_that_no_training_row_had_makes_its_row_novel(on_mixed: Any, row: list[Any], novel: Any) -> None:
    before = await novel_rows(on_mixed)
    reply = (await on_mixed.post("/elbo", {"inputs": [row, ROW], "alpha": 0.1, "explain": 2, "features": True})).json()
    assert reply["novel"] == [novel, []]
    assert await novel_rows(on_mixed) - before == bool(novel)
    assert None not in reply["elbo"]
    assert reply["is_anomaly"][0] == bool(novel)
    if novel:
        assert {cell["feature"] for cell in reply["explanation"][0][: len(novel)]} <= set(novel)
    strict = await on_mixed.post("/elbo", {"inputs": [row], "strict": True})
    assert strict.status_code == 422


async def test_a_missing_cell_changes_the_score_but_its_placeholder_does_not(on_mixed: Any) -> None:
    async def elbo(row: list[Any]) -> float:
        return float((await on_mixed.post("/elbo", {"inputs": [row]})).json()["elbo"][0])

    whole, absent = await elbo(ROW), await elbo([0.5, None, 3, 1, "red"])
    assert whole != absent
    named = {"load": 0.5, "stops": 3, "on": 1, "colour": "red"}
    assert (await on_mixed.post("/elbo", {"inputs": [named]})).json()["elbo"] == [absent]


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        ([None, 2.0, 3, 1, "red"], "row 0, feature 'load': missing"),
        ([0.5, -2.0, 3, 1, "red"], "row 0, feature 'size': not above 0: -2.0"),
        ([0.5, 2.0, 3, 1, "pink"], "row 0, feature 'colour': not one of its 3 levels "),
        ([0.5, 2.0, 3, 1, 2], "row 0, feature 'colour': not one of its 3 levels "),
        ([0.5, "2", 3, 1, "red"], "row 0, feature 'size': not a number: '2'"),
        ([0.5, 2.0, 3, [1], "red"], "row 0, feature 'on': not a number: a list"),
    ],
)
async def test_a_cell_that_its_column_does_not_accept_is_a_422(on_mixed: Any, row: list[Any], detail: str) -> None:
    reply: httpx.Response = await on_mixed.post("/elbo", {"inputs": [row], "strict": True})
    assert reply.status_code == 422
    assert reply.json()["detail"].startswith(detail)


async def test_latents_of_an_ensemble_need_their_members(on_several: Any, on_mixed: Any) -> None:
    codes = [[0.0, 0.0], [1.0, -1.0]]
    each = (await on_several.post("/decode", {"latents": codes, "members": [0, 1]})).json()["mean"]
    for member in (0, 1):
        one = (await on_several.post("/decode", {"latents": codes, "members": member})).json()["mean"]
        np.testing.assert_allclose(one[member], each[member], rtol=1e-6)
        assert one[1 - member] != each[1 - member]
    by_query = await on_several.http.post("/decode?members=[0,1]", content=npy(np.array(codes)), headers=NPY)
    np.testing.assert_allclose(records(by_query)["mean"], each, rtol=1e-6)
    for members, detail in [
        (None, "members: not given, expected one of 0..1 for each row of latents"),
        ([0], "members: shape (1,) and type int64, expected (2,) integers"),
        ([0, 2], "row 1: member 2 is not one of 0..1"),
        ([0, "x"], 'members: not an integer: "x"'),
        ("x", 'members: not an integer: "x"'),
        (-1, "row 0: member -1 is not one of 0..1"),
    ]:
        reply = await on_several.post("/decode", {"latents": codes, "members": members})
        assert (reply.status_code, reply.json()["detail"]) == (422, detail)
    reply = await on_mixed.post("/decode", {"latents": codes, "members": 0})
    assert (reply.status_code, reply.json()["detail"]) == (
        422,
        "members: this model is not an ensemble; leave members out",
    )


async def test_the_example_request_is_answered(on_mixed: Any, mixed: Published) -> None:
    with Model.load(mixed.folder, device="cpu") as model:
        line = curl(model, "http://service")
    path, body = line.split("http://service")[1].split(" -H ")[0], line.split(" -d '")[1].removesuffix("'")
    assert (await on_mixed.post(path, body)).status_code == 200


async def test_rows_score_the_same_together_and_alone(on_mixed: Any, mixed: Published) -> None:
    x = mixed.trained.rows.x
    together = (await on_mixed.post("/elbo", {"inputs": as_json(x, _spec(mixed))})).json()["elbo"]
    alone = [
        (await on_mixed.post("/elbo", {"inputs": [row]})).json()["elbo"][0] for row in mixed_rows(200)[:8].tolist()
    ]
    np.testing.assert_allclose(together[:8], alone, rtol=1e-5)


def _spec(published: Published) -> Any:
    with Model.load(published.folder, device="cpu") as model:
        return model.spec


async def novel_rows(service: Any) -> float:
    """The value of the metric."""
    text = (await service.http.get("/metrics")).text
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("vae_novel_rows_total{"))


async def test_a_novel_row_of_an_old_bundle_has_no_elbo_and_the_reply_says_why(start: Any, tmp_path: Path) -> None:
    shutil.copytree(OLD, tmp_path / "sensors")
    async with start(tmp_path) as service:
        reply = (await service.post("/elbo", {"inputs": [[25.0, 3, "blue"], [25.0, 3, "violet"]]})).json()
    assert reply["novel"] == [[], ["colour"]]
    assert reply["elbo"][1] is None
    assert reply["is_anomaly"] is not None
    assert reply["warnings"] == [
        "no elbo for 1 of 2 rows, row 1 is the first: a bundle of format 1.0 has no score for a novel row; train "
        "the model again to score it"
    ]


def test_the_example_of_a_model_of_large_images_sends_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaekit_service.example._MAX_LENGTH", 10)
    with Model.load(Path(__file__).parents[2] / "models" / "digits" / "1", device="cpu") as model:
        assert curl(model, "http://service") == "curl -s http://service/models/digits/elbo -F images=@IMAGE.png"
