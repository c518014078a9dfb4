"""/elbo with fdr: the extrapolated p-value and the discoveries."""

from __future__ import annotations

import io
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from vaekit.bundle import benjamini_hochberg
from vaekit.runtime import Model

pytestmark = pytest.mark.anyio

FIELDS = ("p_value", "p_value_tail", "is_anomaly", "is_discovery")
FDR = 0.2


@pytest.fixture(scope="module")
def pictures(digit_images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images of digits, some of them inverted."""
    x = digit_images[:120].copy()
    x[::3] = 255 - x[::3]
    return x


def npy_of(reply: httpx.Response) -> NDArray[Any]:
    assert reply.status_code == 200, reply.text
    return np.load(io.BytesIO(reply.content), allow_pickle=False)


async def ask(service: Any, x: NDArray[np.uint8], accept: str, query: str) -> httpx.Response:
    file = io.BytesIO()
    np.save(file, x)
    headers = {"content-type": "application/x-npy", "accept": accept}
    return await service.http.post(f"/models/digits/elbo{query}", content=file.getvalue(), headers=headers)


async def test_tail_p_values_and_discoveries_agree_with_the_calibration_in_every_format(
    start: Any, models_dir: Any, digits: Model, pictures: NDArray[np.uint8]
) -> None:
    """Discoveries are those of all rows of the request, even if it runs in several batches."""
    calibration, score = digits.calibration(), digits.elbo(pictures).score
    assert not isinstance(calibration, str)
    p_value = calibration.p_value(score)
    want = (p_value, calibration.p_value_tail(score), p_value <= 0.05, benjamini_hochberg(p_value, FDR).mask)
    assert want[1] is not None
    assert (want[1][p_value == p_value.min()] < p_value.min()).all()
    assert 0 < want[3].sum() < len(pictures)
    async with start(models_dir, max_batch_rows=7) as service:
        query = f"?fdr={FDR}"
        by_json = (await ask(service, pictures, "application/json", query)).json()
        by_npy = npy_of(await ask(service, pictures, "application/x-npy", query))
        stream = (await ask(service, pictures, "application/vnd.apache.arrow.stream", query)).content
    by_arrow = pa.ipc.open_stream(stream).read_all()
    for name, values in zip(FIELDS, want, strict=True):
        np.testing.assert_allclose(by_json[name], values, rtol=1e-4)
        np.testing.assert_array_equal(by_json[name], by_npy[name])
        np.testing.assert_array_equal(by_json[name], by_arrow[name].to_pylist())


async def test_discoveries_are_left_out_without_an_fdr(service: Any, pictures: NDArray[np.uint8]) -> None:
    assert "is_discovery" not in (await ask(service, pictures, "application/json", "")).json()
    names = npy_of(await ask(service, pictures, "application/x-npy", "")).dtype.names
    assert names is not None
    assert "p_value_tail" in names
    assert "is_discovery" not in names


async def test_without_p_values_there_are_no_discoveries_but_a_reason(
    service: Any, pictures: NDArray[np.uint8]
) -> None:
    query = f"?seed=1&fdr={FDR}"
    reply = (await ask(service, pictures, "application/json", query)).json()
    assert [reply[name] for name in FIELDS] == [None] * 4
    assert "sets a seed" in reply["p_value_reason"]
    names = npy_of(await ask(service, pictures, "application/x-npy", query)).dtype.names
    assert not set(FIELDS) & set(names or ())


async def test_a_calibration_too_small_for_a_tail_has_only_p_values(service: Any) -> None:
    reply = (await service.post("/elbo", {"inputs": [[1.0] * 30], "fdr": FDR})).json()
    assert reply["p_value_tail"] is None
    assert reply["p_value"] == [pytest.approx(1 / 73)]
    assert reply["is_discovery"] == [True]
