"""Replies are the same over JSON, over npy and from the runtime, with verdicts of the calibration."""

from __future__ import annotations

import base64
import io
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vaekit.runtime import Model

pytestmark = pytest.mark.anyio

NPY = {"content-type": "application/x-npy", "accept": "application/x-npy"}


def npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def records(reply: httpx.Response) -> NDArray[Any]:
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/x-npy"
    return np.load(io.BytesIO(reply.content), allow_pickle=False)


async def test_elbo_is_the_same_over_json_npy_and_from_the_runtime(
    service: Any, breast_cancer: Model, benign_rows: NDArray[np.float64]
) -> None:
    rows = benign_rows[:50]
    want = breast_cancer.elbo(rows, features=True)
    by_json = (await service.post("/elbo", {"inputs": rows.tolist(), "features": True})).json()
    by_npy = records(await service.http.post("/elbo?features=true", content=npy(rows), headers=NPY))
    for name in ("elbo", "log_likelihood", "kl", "log_evidence", "score", "feature_log_likelihood"):
        np.testing.assert_array_equal(by_json[name], getattr(want, name))
        np.testing.assert_array_equal(by_npy[name], getattr(want, name))
    np.testing.assert_array_equal(by_json["p_value"], by_npy["p_value"])
    np.testing.assert_array_equal(by_json["is_anomaly"], by_npy["is_anomaly"])


async def test_encode_and_decode_are_the_same_over_json_npy_and_from_the_runtime(
    service: Any, breast_cancer: Model, benign_rows: NDArray[np.float64]
) -> None:
    rows = benign_rows[:7]
    want = breast_cancer.encode(rows)
    by_json = (await service.post("/encode", {"inputs": rows.tolist()})).json()
    by_npy = records(await service.http.post("/encode", content=npy(rows), headers=NPY))
    for name in ("mu", "sigma"):
        np.testing.assert_array_equal(np.float32(by_json[name]), getattr(want, name))
        np.testing.assert_array_equal(by_npy[name], getattr(want, name))
    decoded = breast_cancer.decode(want.mu)
    by_json = (await service.post("/decode", {"latents": want.mu.tolist()})).json()
    by_npy = records(await service.http.post("/decode", content=npy(want.mu), headers=NPY))
    for name in ("mean", "scale"):
        np.testing.assert_array_equal(by_json[name], getattr(decoded, name))
        np.testing.assert_array_equal(by_npy[name], getattr(decoded, name))


async def test_samples_are_the_same_over_json_npy_and_from_the_runtime(service: Any, breast_cancer: Model) -> None:
    for observe in (False, True):
        body = {"n": 5, "seed": 3, "temperature": 0.5, "observe": observe}
        want = breast_cancer.sample(5, seed=3, temperature=0.5, observe=observe)
        by_json = (await service.post("/sample", body)).json()
        headers = {"content-type": "application/json", "accept": "application/x-npy"}
        reply = await service.http.post("/sample", json=body, headers=headers)
        np.testing.assert_array_equal(by_json["samples"], want.samples)
        np.testing.assert_array_equal(records(reply)["samples"], want.samples)
        assert (by_json["seed"], reply.headers["vae-seed"]) == (3, "3")


async def test_rows_by_name_may_have_their_columns_in_any_order(
    service: Any, breast_cancer: Model, benign_rows: NDArray[np.float64]
) -> None:
    names = breast_cancer.spec.names  # type: ignore[union-attr]  # a vector model
    listed = (await service.post("/elbo", {"inputs": benign_rows[:3].tolist()})).json()
    named = [dict(reversed(list(zip(names, row, strict=True)))) for row in benign_rows[:3].tolist()]
    assert (await service.post("/elbo", {"inputs": named})).json() == listed


def picture(pixels: NDArray[np.uint8], form: str = "PNG", mode: str = "L") -> str:
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0]).convert(mode).save(file, form)
    return base64.b64encode(file.getvalue()).decode()


async def test_images_score_the_same_as_files_pixels_and_arrays(
    service: Any, digits: Model, digit_images: NDArray[np.uint8]
) -> None:
    images = digit_images[:4]
    want = digits.elbo(images)
    replies = [
        await service.post("/models/digits/elbo", {"inputs": images.tolist()}),
        await service.post("/models/digits/elbo", {"inputs": [picture(image) for image in images]}),
        await service.http.post("/models/digits/elbo", content=npy(images), headers={**NPY, "accept": "*/*"}),
    ]
    for reply in replies:
        np.testing.assert_array_equal(reply.json()["elbo"], want.elbo)
        np.testing.assert_array_equal(reply.json()["bits_per_dim"], digits.bits_per_dim(want))


async def test_jpeg_and_black_and_white_png_are_read(service: Any) -> None:
    pixels = np.zeros((8, 8, 1), np.uint8)
    for text in (picture(pixels, "JPEG"), picture(pixels, mode="1")):
        reply = await service.post("/models/digits/encode", {"inputs": [text]})
        assert reply.json() == (await service.post("/models/digits/encode", {"inputs": [pixels.tolist()]})).json()


async def test_decoded_digits_are_pixels_and_have_no_scale(service: Any) -> None:
    reply = (await service.post("/models/digits/sample", {"n": 2, "seed": 0})).json()
    mean = await service.post("/models/digits/decode", {"latents": reply["latents"]})
    assert np.shape(mean.json()["mean"]) == (2, 8, 8, 1)
    assert mean.json()["scale"] is None
    content = npy(np.asarray(reply["latents"]))
    assert records(await service.http.post("/models/digits/decode", content=content, headers=NPY)).dtype.names == (
        "mean",
    )


async def test_the_latest_version_answers_the_same_by_number(service: Any, benign_rows: NDArray[np.float64]) -> None:
    body = {"inputs": benign_rows[:2].tolist()}
    replies = [
        (await service.post(f"{prefix}/elbo", body)).json()
        for prefix in ("", "/models/breast-cancer", "/models/breast-cancer/versions/1")
    ]
    assert replies[0] == replies[1] == replies[2]
    assert (replies[0]["model"], replies[0]["version"]) == ("breast-cancer", 1)


async def test_a_row_of_1e300_is_an_anomaly_with_a_finite_score(service: Any) -> None:
    reply = (await service.post("/elbo", {"inputs": [[1e300] * 30], "features": True})).json()
    assert np.isfinite(reply["score"]).all()
    assert reply["score"][0] > 1e3
    assert reply["is_anomaly"] == [True]
    assert np.isfinite(reply["feature_log_likelihood"]).all()


async def test_the_verdict_compares_the_p_value_with_alpha(service: Any, benign_rows: NDArray[np.float64]) -> None:
    body = {"inputs": benign_rows.tolist()}
    default = (await service.post("/elbo", body)).json()
    assert (default["alpha"], default["p_value_reason"], default["num_samples"]) == (0.05, None, 16)
    assert default["is_anomaly"] == [p <= 0.05 for p in default["p_value"]]
    strict = (await service.post("/elbo", {**body, "alpha": 0.2})).json()
    assert strict["p_value"] == default["p_value"]
    assert strict["is_anomaly"] == [p <= 0.2 for p in default["p_value"]]
    assert sum(strict["is_anomaly"]) > sum(default["is_anomaly"])


@pytest.mark.parametrize(("option", "reason"), [({"num_samples": 4}, "num_samples 4"), ({"seed": 1}, "sets a seed")])
async def test_other_draws_than_the_calibrations_give_a_reason_and_no_p_value(
    service: Any, option: dict[str, int], reason: str
) -> None:
    reply = (await service.post("/elbo", {"inputs": [[1.0] * 30], "alpha": 0.001, **option})).json()
    assert (reply["p_value"], reply["is_anomaly"], reply["alpha"]) == (None, None, None)
    assert reason in reply["p_value_reason"]
    query = "&".join(f"{name}={value}" for name, value in option.items())
    by_npy = await service.http.post(f"/elbo?{query}", content=npy(np.ones((1, 30))), headers=NPY)
    assert "p_value" not in (records(by_npy).dtype.names or ())
    assert reason in by_npy.headers["vae-p-value-reason"]


async def test_at_an_alpha_too_small_for_the_calibration_no_row_is_an_anomaly_and_the_reply_says_why(
    service: Any, start: Any, models_dir: Any
) -> None:
    asked = (await service.post("/elbo", {"inputs": [[1.0] * 30], "alpha": 0.001})).json()
    async with start(models_dir, default_model="breast-cancer", alpha=0.001) as other:
        by_default = (await other.post("/elbo", {"inputs": [[1.0] * 30]})).json()
    assert asked == by_default
    assert asked["p_value"] == [pytest.approx(1 / 73)]  # 72 calibration rows
    assert (asked["is_anomaly"], asked["alpha"]) == ([False], 0.001)
    assert asked["p_value_reason"].startswith("alpha 0.001 is below the smallest possible p-value, 0.0137, of 72 ")


async def test_the_seed_of_a_reply_reproduces_its_samples(service: Any) -> None:
    first, second = [(await service.post("/sample", {"n": 2})).json() for _ in range(2)]
    assert first["seed"] != second["seed"]
    assert 0 <= first["seed"] < 2**53
    assert (await service.post("/sample", {"n": 2, "seed": first["seed"]})).json() == first


async def test_npy_replies_have_the_facts_about_the_whole_reply_in_headers(service: Any) -> None:
    reply = await service.http.post("/elbo", content=npy(np.ones((2, 30))), headers=NPY)
    facts = {name: reply.headers[f"vae-{name}"] for name in ("model", "version", "alpha", "num-samples")}
    assert facts == {"model": "breast-cancer", "version": "1", "alpha": "0.05", "num-samples": "16"}
    assert "vae-p-value-reason" not in reply.headers


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/x-npy", "application/x-npy"),
        ("application/json;q=0.5, application/x-npy", "application/x-npy"),
        ("application/x-npy;q=0.1, */*;q=0.2", "application/json"),
        ("text/html, */*;q=0.1", "application/json"),
    ],
)
async def test_accept_chooses_the_reply_type(service: Any, accept: str, media_type: str) -> None:
    headers = {"content-type": "application/json", "accept": accept}
    reply = await service.http.post("/sample", json={"n": 1}, headers=headers)
    assert reply.headers["content-type"] == media_type


async def test_arrays_of_any_memory_order_and_numeric_type_are_read(service: Any) -> None:
    rows = np.arange(60, dtype=np.int16).reshape(2, 30)
    want = (await service.post("/encode", {"inputs": rows.tolist()})).json()
    for array in (rows, np.asfortranarray(rows), rows.astype(">f4")):
        reply = await service.http.post("/encode", content=npy(array), headers={**NPY, "accept": "application/json"})
        assert reply.json() == want


async def test_large_requests_get_the_same_results_as_small_ones(
    service: Any, benign_rows: NDArray[np.float64]
) -> None:
    many = np.tile(benign_rows, (10, 1))  # 3,570 rows: read and written by a thread
    reply = (await service.post("/encode", {"inputs": many.tolist()})).json()
    few = (await service.post("/encode", {"inputs": benign_rows[:5].tolist()})).json()
    np.testing.assert_allclose(reply["mu"][:5], few["mu"], rtol=1e-5, atol=1e-6)
