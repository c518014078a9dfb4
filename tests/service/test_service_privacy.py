"""POST /sample with a model whose prior consists of training rows: low temperatures are refused in every way."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kinds import Published
from tests.live import serving
from vaekit import Client
from vaekit.client import RequestRefused

pytestmark = pytest.mark.anyio
SAID = "copies of training rows"


@pytest.mark.parametrize("temperature", [0, 0.0, 1e-300, 0.5])
async def test_low_temperatures_are_refused_with_a_reason(on_folded: Any, temperature: float) -> None:
    reply = await on_folded.post("/sample", {"n": 3, "temperature": temperature})
    assert reply.status_code == 422
    assert SAID in reply.json()["detail"]
    assert "privacy.allow_low_temperature" in reply.json()["detail"]


@pytest.mark.parametrize("path", ["/sample", "/models/folded/sample", "/models/folded/versions/1/sample"])
@pytest.mark.parametrize("accept", ["application/json", "application/x-npy", "application/vnd.apache.arrow.stream"])
async def test_low_temperatures_are_refused_on_every_route(on_folded: Any, path: str, accept: str) -> None:
    body = {"n": 2, "temperature": 0, "observe": True}
    reply = await on_folded.http.post(path, json=body, headers={"accept": accept})
    assert (reply.status_code, SAID in reply.text) == (422, True)


async def test_other_temperatures_and_other_priors_are_answered(on_folded: Any, on_several: Any) -> None:
    for temperature in (1, 1.5):
        assert (await on_folded.post("/sample", {"n": 3, "temperature": temperature})).status_code == 200
    assert (await on_several.post("/sample", {"n": 3, "temperature": 0})).status_code == 200


async def test_the_manifest_says_how_many_training_rows_are_inside(on_folded: Any, folded: Published) -> None:
    shown = (await on_folded.http.get("/models/folded")).json()
    flags = {"allow_low_temperature": False, "show_exemplars": False}
    assert shown["privacy"] == {"training_rows": len(folded.trained.splits.train), **flags}
    assert shown["metrics"]["membership_auc"]["n"] > 0


def test_the_client_raises_the_refusal_with_its_reason(folded: Published) -> None:
    with serving(folded.root) as url, Client(url) as client:
        with pytest.raises(RequestRefused, match=SAID):
            client.sample(2, temperature=0.0)
        assert client.sample(2, temperature=1.0).samples.shape == (2, 3)
