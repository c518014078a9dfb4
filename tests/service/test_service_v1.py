"""KServe's V1 protocol: `instances` in, `predictions` out, by the same handlers as /elbo."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.service.keyed import KEYS, TEXT, bearer

pytestmark = pytest.mark.anyio

PREDICT = "/v1/models/breast-cancer:predict"
ROWS = [[float(i % 7 + 1)] * 30 for i in range(5)]
HEADERS_OF_THE_REQUEST = {"date", "content-length", "x-request-id", "server-timing"}


async def predictions(service: Any, path: str, instances: Any, **more: Any) -> list[dict[str, Any]]:
    reply = await service.post(path, {"instances": instances, **more})
    assert reply.status_code == 200, reply.text
    assert list(reply.json()) == ["predictions"]
    found: list[dict[str, Any]] = reply.json()["predictions"]
    return found


def by_row(reply: dict[str, Any], rows: int) -> list[dict[str, Any]]:
    """The per-row fields of a reply of /elbo, row by row."""
    fields = {name: value for name, value in reply.items() if isinstance(value, list) and name != "warnings"}
    nulls = {name for name in ("bits_per_dim", "log_evidence", "p_value_tail") if name in reply and reply[name] is None}
    return [{**{f: v[i] for f, v in fields.items()}, **dict.fromkeys(nulls)} for i in range(rows)]


async def test_a_prediction_has_the_fields_of_a_row_of_elbo(service: Any) -> None:
    expected = (await service.post("/elbo", {"inputs": ROWS})).json()
    found = await predictions(service, PREDICT, ROWS)
    assert found == by_row(expected, 5)
    assert {"elbo", "score", "p_value", "is_anomaly", "novel"} <= set(found[0])


async def test_parameters_are_the_options_of_elbo(service: Any) -> None:
    options = {"alpha": 0.2, "explain": 2, "num_samples": 16, "log_evidence": False}
    reply = await service.post(PREDICT, {"instances": ROWS, "parameters": options})
    assert reply.headers["vae-alpha"] == "0.2"
    assert (reply.headers["vae-model"], reply.headers["vae-version"]) == ("breast-cancer", "1")
    expected = (await service.post("/elbo", {"inputs": ROWS, **options})).json()
    assert reply.json()["predictions"] == by_row(expected, 5)
    assert [cell["feature"] for cell in reply.json()["predictions"][0]["explanation"]]


async def test_an_instance_may_be_a_record_by_column_name(service: Any) -> None:
    columns = (await service.http.get("/models/breast-cancer")).json()["input"]["columns"]
    records = [{column["name"]: cell for column, cell in zip(columns, row, strict=True)} for row in ROWS]
    assert await predictions(service, PREDICT, records) == await predictions(service, PREDICT, ROWS)


async def test_an_instance_may_be_an_image_as_pixels_or_as_a_file(
    service: Any, digit_images: NDArray[np.uint8]
) -> None:
    image = digit_images[0]
    file = io.BytesIO()
    Image.fromarray(image[:, :, 0]).save(file, "PNG")
    text = base64.b64encode(file.getvalue()).decode()
    path = "/v1/models/digits:predict"
    found = [await predictions(service, path, [one]) for one in (image.tolist(), text, {"b64": text})]
    assert found[0] == found[1] == found[2]
    assert found[0][0]["bits_per_dim"] > 0


async def test_a_p_value_that_there_is_none_of_is_null(service: Any) -> None:
    (found,) = await predictions(service, PREDICT, ROWS[:1], parameters={"num_samples": 3})
    assert (found["p_value"], found["is_anomaly"]) == (None, None)
    assert found["elbo"] == -found["score"]


async def test_large_bodies_and_replies_go_through_the_worker_process(service: Any) -> None:
    rows = np.random.default_rng(1).lognormal(size=(6000, 30)).tolist()
    assert len(json.dumps(rows)) > 2**20
    found = await predictions(service, PREDICT, rows)
    some = await predictions(service, PREDICT, rows[4000:4003])
    assert [one["score"] for one in found[4000:4003]] == pytest.approx([one["score"] for one in some], rel=1e-5)
    assert len(found) == 6000


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ("{", 400, "not JSON"),
        ("[]", 400, 'expected an object, {"instances": [...]}'),
        ({}, 400, "instances: expected a list of at least one row"),
        ({"instances": []}, 400, "instances: expected a list of at least one row"),
        ({"instances": [[1.0]]}, 400, "row 0"),
        ({"instances": ROWS, "inputs": ROWS}, 400, "'inputs': unknown field; the fields are instances and parameters"),
        ({"instances": ROWS, "parameters": {"inputs": ROWS}}, 400, "the rows are in instances"),
        ({"instances": ROWS, "parameters": [1]}, 400, "parameters: expected an object with options of /elbo"),
        ({"instances": ROWS, "parameters": {"alfa": 1}}, 400, "alfa: unknown field"),
        ({"instances": [["x"] * 30]}, 400, "row 0, feature 'mean radius': not a number: 'x'"),
    ],
)
async def test_errors_have_the_shape_of_v1(service: Any, body: Any, status: int, text: str) -> None:
    reply = await service.post(PREDICT, body)
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/json")
    assert list(reply.json()) == ["error"]
    assert text in reply.json()["error"]


async def test_other_types_and_unknown_models_are_refused_in_the_shape_of_v1(service: Any) -> None:
    npy = await service.http.post(PREDICT, content=b"x", headers={"content-type": "application/x-npy"})
    html = await service.http.post(PREDICT, json={"instances": ROWS}, headers={"accept": "text/html"})
    unknown = await service.post("/v1/models/nothing:predict", {"instances": ROWS})
    wrong = await service.http.get(PREDICT)
    assert [reply.status_code for reply in (npy, html, unknown, wrong)] == [415, 406, 404, 404]
    assert "no model 'nothing'" in unknown.json()["error"]
    assert all(list(reply.json()) == ["error"] for reply in (npy, html, unknown, wrong))


async def test_signature_name_of_tensorflow_serving_is_ignored(service: Any) -> None:
    found = await predictions(service, PREDICT, ROWS, signature_name="serving_default")
    assert found == await predictions(service, PREDICT, ROWS)


async def test_models_are_listed_with_their_readiness(service: Any, start: Any, copied: Any) -> None:
    assert (await service.http.get("/v1/models")).json() == {"models": ["breast-cancer", "digits"]}
    assert (await service.http.get("/v1/models/digits")).json() == {"name": "digits", "ready": True}
    missing = await service.http.get("/v1/models/nothing")
    assert (missing.status_code, list(missing.json())) == (404, ["error"])
    (copied / "breast-cancer" / "1" / "elbo.onnx").write_bytes(b"")
    async with start(copied) as broken:
        reply = await broken.http.get("/v1/models/breast-cancer")
        assert (reply.status_code, list(reply.json())) == (503, ["error"])
        assert "sha256" in reply.json()["error"]


@pytest.fixture(scope="module")
async def keyed(start: Any, models_dir: Any, anyio_backend: str) -> AsyncIterator[Any]:
    """A service with keys, without a platform."""
    assert anyio_backend == "asyncio"
    async with start(models_dir, keys=TEXT) as running:
        yield running


async def test_without_a_platform_the_routes_need_keys(keyed: Any) -> None:
    for headers, status in (({}, 401), (bearer(KEYS["read"]), 403), (bearer(KEYS["infer"]), 200)):
        reply = await keyed.http.post(PREDICT, json={"instances": ROWS}, headers=headers)
        assert (reply.status_code, "error" in reply.json()) == (status, status != 200)
    for headers, status in (({}, 401), (bearer(KEYS["infer"]), 403), (bearer(KEYS["read"]), 200)):
        for path in ("/v1/models", "/v1/models/digits"):
            reply = await keyed.http.get(path, headers=headers)
            assert (reply.status_code, "error" in reply.json()) == (status, status != 200)


async def test_on_kserve_its_protocols_are_open_and_nothing_else(start: Any, models_dir: Any) -> None:
    async with start(models_dir, keys=TEXT, platform="kserve", admin=True) as running:
        assert (await running.post(PREDICT, {"instances": ROWS})).status_code == 200
        (tensor, *_) = (await running.http.get("/v2/models/breast-cancer")).json()["inputs"]
        v2 = {"inputs": [{**tensor, "shape": [1, 30], "data": ROWS[0]}]}
        assert (await running.post("/v2/models/breast-cancer/infer", v2)).status_code == 200
        for path in ("/v1/models", "/v1/models/digits", "/v2", "/v2/models/digits/ready"):
            assert (await running.http.get(path)).status_code == 200
        for path in ("/models/breast-cancer/elbo", "/models/breast-cancer/encode"):
            assert (await running.post(path, {"inputs": ROWS})).status_code == 401
        for path in ("/models", "/metrics", "/docs", "/v1", "/v10/models", "/v2/nothing"):
            assert (await running.http.get(path)).status_code == 401
        for path in ("/v2/repository/models/digits/unload", "/admin/models/reload"):
            assert (await running.post(path, {})).status_code == 401


@pytest.mark.parametrize(
    ("given", "predict", "listed"),
    [
        ({"platform": "kserve", "public": "probes"}, 401, 401),
        ({"platform": "kserve", "public": "probes,platform"}, 200, 200),
        ({"platform": "sagemaker"}, 401, 401),
        ({"public": "infer"}, 200, 401),
        ({"public": "read"}, 401, 200),
        ({"public": "platform"}, 401, 401),
    ],
)
async def test_who_may_call_v1_without_a_key(
    start: Any, models_dir: Any, given: dict[str, str], predict: int, listed: int
) -> None:
    async with start(models_dir, keys=TEXT, **given) as running:
        assert (await running.post(PREDICT, {"instances": ROWS})).status_code == predict
        assert (await running.http.get("/v1/models")).status_code == listed


async def test_a_wrong_method_names_the_right_one(service: Any) -> None:
    reply = await service.http.request("DELETE", PREDICT)
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")
