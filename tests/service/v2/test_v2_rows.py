"""Tables by column, image files and missing cells under the Open Inference Protocol."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.kinds import NAMES, mixed_rows, series_columns
from tests.service.v2.cases import DIGITS, MLSERVER, OVMS, TRAP, TRITON, X, case_of
from tests.service.v2.talk_v2 import BREAST, LENGTH, ROW, elements, infer, outputs, packed, refused, rows, tensor

pytestmark = pytest.mark.anyio

OLD = Path(__file__).parents[2] / "old"


def png(pixels: Any, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("shape", [[3], [3, 1]])
@case_of(OVMS, "BYTES [N] of PNG or JPEG for a model of images", 200)
async def test_image_files_are_bytes(service: Any, digit_images: Any, shape: list[int]) -> None:
    pixels = digit_images[:3]
    files = [png(one[..., 0]) for one in pixels]
    expected = outputs(await infer(service.http, DIGITS, rows(pixels, "UINT8")))
    body, headers = packed({"inputs": ("BYTES", shape, elements(files))})
    assert outputs(await service.http.post(DIGITS, content=body, headers=headers))["elbo"].tolist() == (
        expected["elbo"].tolist()
    )
    texts = [base64.b64encode(one).decode() for one in files]
    as_json = outputs(await infer(service.http, DIGITS, tensor("inputs", shape, texts, "BYTES")))
    assert as_json["elbo"].tolist() == expected["elbo"].tolist()
    raw = await service.http.post(DIGITS, content=files[0], headers={LENGTH: "0"})
    assert outputs(raw)["elbo"].tolist() == expected["elbo"].tolist()[:1]
    jpeg = await service.http.post(DIGITS, content=png(pixels[0][..., 0], "JPEG"), headers={LENGTH: "0"})
    assert outputs(jpeg)["elbo"].shape == (1,)


@pytest.fixture(scope="module")
async def on_mixed(start: Any, mixed: Any, anyio_backend: str) -> AsyncIterator[Any]:
    assert anyio_backend == "asyncio"
    async with start(mixed.root) as running:
        yield running


MIXED = "/v2/models/mixed/infer"


@case_of(MLSERVER, "a table as one tensor per column, content_type pd", 200)
async def test_a_table_is_one_tensor_per_column_in_any_order(on_mixed: Any) -> None:
    x = mixed_rows(4)
    objects = [dict(zip(NAMES, row, strict=True)) for row in x.tolist()]
    own = (await on_mixed.post("/models/mixed/elbo", {"inputs": objects})).json()
    columns = [
        tensor(name, [4, 1], x[:, d].tolist(), "BYTES" if name == "colour" else "FP32" if name == "on" else "FP64")
        for d, name in enumerate(NAMES)
    ]
    reply = await infer(on_mixed.http, MIXED, *reversed(columns), parameters={"content_type": "pd"})
    assert outputs(reply)["elbo"].tolist() == own["elbo"]
    assert "ignored_columns" not in reply.json()["parameters"]
    more = tensor("other", [4], [1.0] * 4)
    reply = await infer(on_mixed.http, MIXED, *columns, more)
    assert json.loads(reply.json()["parameters"]["ignored_columns"]) == ["other"]
    message = refused(await infer(on_mixed.http, MIXED, *columns, more, parameters={"strict": True}), 400)
    assert "unknown feature 'other'" in message


async def test_columns_of_different_lengths_and_lacking_columns_are_refused(on_mixed: Any) -> None:
    columns = [tensor(name, [2], ["red"] * 2 if name == "colour" else [1.0] * 2, kind(name)) for name in NAMES]
    longer = [*columns[:-1], tensor("colour", [3], ["red"] * 3, "BYTES")]
    assert "columns of 2 and 3 rows" in refused(await infer(on_mixed.http, MIXED, *longer), 400)
    wide = [*columns[:-1], tensor("colour", [1, 2], ["red"] * 2, "BYTES")]
    assert "expected one column, [N] or [N, 1]" in refused(await infer(on_mixed.http, MIXED, *wide), 400)
    assert "lacks 1 of the model's columns: 'load'" in refused(await infer(on_mixed.http, MIXED, *columns[1:]), 400)
    text = [tensor("load", [2], ["a", "b"], "BYTES"), *columns[1:]]
    assert "feature 'load': not a number" in refused(await infer(on_mixed.http, MIXED, *text), 400)


def kind(name: str) -> str:
    return "BYTES" if name == "colour" else "FP64"


@case_of(TRITON, "a raw body for a table of several inputs", 400)
async def test_a_raw_body_needs_a_model_of_one_input(on_mixed: Any) -> None:
    message = refused(await on_mixed.http.post(MIXED, content=b"\0" * 40, headers={LENGTH: "0"}), 400)
    assert "load, size, stops, on, colour" in message


@case_of(TRAP, "NaN in a reply: null in JSON, NaN in bytes (MLServer#1154)", 200)
async def test_nan_is_null_in_json_and_nan_in_bytes(start: Any) -> None:
    async with start(None, model=f"sensors={sensors()}") as running:
        columns = [
            tensor("temperature", [2], [25.0, 25.0]),
            tensor("pressure", [2], [1.0, None]),
            tensor("colour", [2], ["red", "violet"], "BYTES"),
        ]
        named = dict(zip((await names_of(running)), columns, strict=True))
        given = [{**one, "name": name} for name, one in named.items()]
        as_json = await infer(running.http, "/v2/models/sensors/infer", *given)
        assert "NaN" not in as_json.text
        [elbo] = [one["data"] for one in as_json.json()["outputs"] if one["name"] == "elbo"]
        assert elbo[1] is None
        assert isinstance(elbo[0], float)
        in_bytes = await infer(
            running.http, "/v2/models/sensors/infer", *given, parameters={"binary_data_output": True}
        )
        assert np.isnan(outputs(in_bytes)["elbo"]).tolist() == [False, True]


def sensors() -> Path:
    """The folder of the bundle of format 1.0."""
    return next(path.parent for path in (OLD / "sensors").rglob("manifest.json"))


async def names_of(running: Any) -> list[str]:
    return [one["name"] for one in (await running.http.get("/v2/models/sensors")).json()["inputs"]]


@case_of(TRAP, "NaN in bytes: a missing cell", 200)
async def test_nan_in_bytes_is_a_missing_cell(service: Any) -> None:
    x = X.copy()
    x[0, 0] = np.nan
    body, headers = packed({"inputs": ("FP64", [1, 30], x.tobytes())})
    found = outputs(await service.http.post(BREAST, content=body, headers=headers))
    as_null = outputs(await infer(service.http, BREAST, tensor("inputs", [1, 30], [None, *ROW[1:]])))
    assert found["p_value"] == as_null["p_value"]
    assert json.loads(found["novel"][0]) == json.loads(as_null["novel"][0]) == ["mean radius"]
    x[0, 0] = np.inf
    body, headers = packed({"inputs": ("FP64", [1, 30], x.tobytes())})
    message = refused(await service.http.post(BREAST, content=body, headers=headers), 400)
    assert "row 0, feature 'mean radius': not finite: inf" in message


async def test_time_steps_are_columns_and_have_one_result_each(start: Any, windowed: Any) -> None:
    columns = {name: np.asarray(cells, dtype=object) for name, cells in series_columns(12, gap=None).items()}
    steps = [dict(zip(columns, row, strict=True)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)]
    steps = [{name: None if cell != cell else cell for name, cell in step.items()} for step in steps]
    given = [
        tensor(name, [24], [step[name] for step in steps], "FP64" if name in ("load", "temp") else "BYTES")
        for name in columns
    ]
    async with start(windowed.root) as running:
        own = (await running.post("/models/windowed/elbo", {"inputs": steps})).json()
        for binary in (False, True):
            reply = await infer(
                running.http, "/v2/models/windowed/infer", *given, parameters={"binary_data_output": binary}
            )
            found = outputs(reply)
            expected = np.array(own["elbo"], dtype=float)
            assert np.isnan(expected).any()
            np.testing.assert_array_equal(found["elbo"], expected)
            assert [json.loads(names) if names else None for names in found["novel"]] == [
                names or None for names in own["novel"]
            ]
        as_json = (await infer(running.http, "/v2/models/windowed/infer", *given)).json()
        [data] = [one["data"] for one in as_json["outputs"] if one["name"] == "elbo"]
        assert data == own["elbo"]
        assert "time steps" in json.loads(as_json["parameters"]["warnings"])[0]


async def test_invalid_rows_cannot_be_reported(service: Any) -> None:
    reply = await infer(service.http, BREAST, rows(X), parameters={"errors": "report"})
    assert "no place in the tensors of a reply" in refused(reply, 400)


async def test_files_of_another_size_are_scaled_if_asked(service: Any, digit_images: Any) -> None:
    large = png(np.kron(digit_images[0][..., 0], np.ones((3, 3), np.uint8)))
    body, headers = packed({"inputs": ("BYTES", [1], elements([large]))})
    refused(await service.http.post(DIGITS, content=body, headers=headers), 400)
    body, headers = packed({"inputs": ("BYTES", [1], elements([large]))}, parameters={"resize": True})
    reply = await service.http.post(DIGITS, content=body, headers=headers)
    own = await service.post("/models/digits/elbo", {"inputs": [base64.b64encode(large).decode()], "resize": True})
    assert outputs(reply)["elbo"].tolist() == own.json()["elbo"]
    assert outputs(reply)["image_size"].tolist() == own.json()["image_size"] == [[24, 24]]
    assert reply.json()["parameters"]["resize"] == "bilinear"
