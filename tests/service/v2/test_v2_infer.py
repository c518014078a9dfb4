"""Infer requests of the Open Inference Protocol give what the service's own routes give, in JSON and in bytes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tests.kinds import NAMES, mixed_rows
from tests.service.v2.talk_v2 import BREAST, LENGTH, elements, infer, outputs, packed, rows, tensor

pytestmark = pytest.mark.anyio


async def test_json_gives_the_scores_of_the_elbo_route(service: Any, benign_rows: Any) -> None:
    x = benign_rows[:5]
    own = (await service.post("/elbo", {"inputs": x.tolist()})).json()
    found = outputs(await infer(service.http, BREAST, rows(x)))
    for name in ("elbo", "log_likelihood", "kl", "log_evidence", "score", "p_value", "is_anomaly"):
        assert found[name].tolist() == own[name], name


@pytest.mark.parametrize("datatype", ["FP64", "FP32"])
async def test_bytes_give_the_scores_of_the_array_route(service: Any, benign_rows: Any, datatype: str) -> None:
    x = benign_rows[:7].astype("<f8" if datatype == "FP64" else "<f4")
    own = (await service.post("/elbo", {"inputs": x.astype(float).tolist()})).json()
    body, headers = packed({"inputs": (datatype, list(x.shape), x.tobytes())}, parameters={"binary_data_output": True})
    reply = await service.http.post(BREAST, content=body, headers=headers)
    found = outputs(reply)
    assert found["elbo"].tolist() == own["elbo"]
    assert found["is_anomaly"].tolist() == own["is_anomaly"]
    assert found["novel"].tolist() == [""] * 7
    assert LENGTH in reply.headers


async def test_each_output_may_be_in_json_or_in_bytes_and_has_the_order_of_the_request(service: Any) -> None:
    wanted = [
        {"name": "score", "parameters": {"binary_data": True}},
        {"name": "is_anomaly"},
        {"name": "elbo", "parameters": {"binary_data": True}},
    ]
    reply = await infer(service.http, BREAST, rows([[1.0] * 30]), outputs=wanted)
    head = json.loads(reply.content[: int(reply.headers[LENGTH])])
    assert [one["name"] for one in head["outputs"]] == ["score", "is_anomaly", "elbo"]
    assert ["data" in one for one in head["outputs"]] == [False, True, False]
    found = outputs(reply)
    assert found["score"] == -found["elbo"]


async def test_encode_decode_and_sample_give_what_their_routes_give(service: Any) -> None:
    home, own = "/v2/models/breast-cancer", "/models/breast-cancer"
    encoded = outputs(await infer(service.http, f"{home}.encode/infer", rows([[1.0] * 30])))
    expected = (await service.post(f"{own}/encode", {"inputs": [[1.0] * 30]})).json()
    np.testing.assert_allclose(encoded["mu"], expected["mu"], rtol=1e-6)
    latents = [[0.5] * 8, [0.0] * 8]
    decoded = outputs(await infer(service.http, f"{home}.decode/infer", tensor("latents", [2, 8], latents)))
    expected = (await service.post(f"{own}/decode", {"latents": latents})).json()
    assert decoded["mean"].tolist() == expected["mean"]
    assert decoded["scale"].tolist() == expected["scale"]
    given = [tensor("n", [1], [3], "INT64"), tensor("seed", [1], [7], "INT64"), tensor("observe", [1], [True], "BOOL")]
    reply = await infer(service.http, f"{home}.sample/infer", *given)
    expected = (await service.post(f"{own}/sample", {"n": 3, "seed": 7, "observe": True})).json()
    assert outputs(reply)["samples"].tolist() == expected["samples"]
    assert reply.json()["parameters"] == {"seed": 7}


async def test_a_sample_without_inputs_takes_its_options_from_the_parameters(service: Any) -> None:
    path = "/v2/models/breast-cancer.sample/infer"
    found = outputs(await infer(service.http, path, parameters={"n": 2, "seed": "3"}))
    assert found["samples"].shape == (2, 30)
    both = await infer(service.http, path, tensor("n", [1], [2], "INT64"), parameters={"n": 2})
    assert (both.status_code, "n: is both" in both.json()["error"]) == (400, True)


async def test_options_are_parameters_as_values_or_as_text(service: Any) -> None:
    for options in (
        {"alpha": 0.2, "explain": 2, "features": True, "fdr": 0.1},
        {"alpha": "0.2", "explain": "2", "features": "true", "fdr": "0.1"},
    ):
        reply = await infer(service.http, BREAST, rows([[1.0] * 30, [2.0] * 30]), parameters=options)
        found = outputs(reply)
        assert reply.json()["parameters"]["alpha"] == 0.2
        assert found["feature_log_likelihood"].shape == (2, 30)
        assert found["is_discovery"].shape == found["kl_p_value"].shape == (2,)
        cells = [json.loads(text) for text in found["explanation"]]
        assert [len(row) for row in cells] == [2, 2]
        assert {"feature", "relief", "expected"} <= cells[0][0].keys()


@pytest.mark.parametrize("kind", ["mixed", "several", "folded", "shown", "grouped", "windowed"])
async def test_metadata_is_what_the_models_give(kind: str, start: Any, request: pytest.FixtureRequest) -> None:
    """Names, datatypes, shapes and order of all outputs, of each kind of model."""
    async with start(request.getfixturevalue(kind).root) as running:
        await assert_metadata(running, kind)


@pytest.mark.parametrize("name", ["breast-cancer", "digits"])
async def test_metadata_is_what_the_committed_models_give(service: Any, name: str) -> None:
    await assert_metadata(service, name)


async def assert_metadata(running: Any, name: str) -> None:
    for suffix in ("", ".encode", ".decode", ".sample"):
        home = f"/v2/models/{name}{suffix}"
        told = (await running.http.get(home)).json()
        reply = await infer(running.http, f"{home}/infer", *(some_values(one) for one in told["inputs"]))
        given = {one["name"]: (one["datatype"], one["shape"]) for one in reply.json()["outputs"]}
        assert list(given) == [one["name"] for one in told["outputs"]], home
        for one in told["outputs"]:
            assert given[one["name"]][0] == one["datatype"], (home, one)
            assert [-1, *given[one["name"]][1][1:]] == one["shape"], (home, one)
        config = (await running.http.get(f"{home}/config")).json()
        assert [one["name"] for one in config["output"]] == list(given)
        empty = await running.http.post(f"{home}/infer", content=json.dumps({"inputs": [no_rows(told["inputs"][0])]}))
        if suffix != ".sample" and len(told["inputs"]) == 1:
            assert {k: v.shape[1:] for k, v in outputs(empty).items()} == {
                k: tuple(s[1:]) for k, (_, s) in given.items()
            }


def no_rows(one: dict[str, Any]) -> dict[str, Any]:
    return tensor(one["name"], [0, *one["shape"][1:]], [], one["datatype"])


def some_values(one: dict[str, Any]) -> dict[str, Any]:
    """Two rows of ones; one value where the shape is fixed."""
    shape = [2 if size == -1 else size for size in one["shape"]]
    fill: Any = {"BYTES": "red", "BOOL": True, "FP64": 1.0}.get(one["datatype"], 1)
    return tensor(one["name"], shape, np.full(shape, fill, dtype=object).tolist(), one["datatype"])


async def test_a_table_is_one_tensor_per_column_in_json_and_in_bytes(start: Any, mixed: Any) -> None:
    x = mixed_rows(20)
    columns = {name: x[:, d] for d, name in enumerate(NAMES)}
    async with start(mixed.root) as running:
        objects = [dict(zip(NAMES, row, strict=True)) for row in x.tolist()]
        own = (await running.post("/models/mixed/elbo", {"inputs": objects})).json()
        as_json = [
            tensor(name, [20], cells.tolist(), "BYTES" if name == "colour" else "FP64")
            for name, cells in columns.items()
        ]
        found = outputs(await infer(running.http, "/v2/models/mixed/infer", *as_json))
        assert found["elbo"].tolist() == own["elbo"]
        assert [json.loads(names) if names else [] for names in found["novel"]] == own["novel"]
        binary = {
            name: ("FP64", [20, 1], np.array(cells, dtype="<f8").tobytes())
            for name, cells in columns.items()
            if name != "colour"
        }
        texts = ["" if cell is None else cell for cell in columns["colour"]]
        binary["colour"] = ("BYTES", [20, 1], elements([text.encode() for text in texts]))
        body, headers = packed(binary)
        found = outputs(await running.http.post("/v2/models/mixed/infer", content=body, headers=headers))
        assert found["elbo"].tolist() == own["elbo"]
