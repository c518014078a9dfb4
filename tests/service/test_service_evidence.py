"""/elbo with log_evidence=false: the same reply without that field, from the cheaper graph if the model has one."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pyarrow as pa
import pytest

from tests.kinds import Published, as_json, folded_rows
from tests.service.test_service_arrow import ARROW, as_table, stream, table_of
from tests.service.test_service_openapi import check
from tests.service.test_service_wire import NPY, npy, picture, records
from vaekit.runtime import Model

pytestmark = pytest.mark.anyio

ROW = [1.0] * 30
WITHOUT = {"log_evidence": False}


class Ran(Counter[str]):
    """The number of rows that ran through each graph."""


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Ran:
    seen, whole = Ran(), Model.run

    def counted(self: Model, operation: Any, feeds: Any) -> Any:
        seen[operation] += len(next(iter(feeds.values())))
        return whole(self, operation, feeds)

    monkeypatch.setattr(Model, "run", counted)
    return seen


@pytest.fixture(scope="module")
def spec(folded: Published) -> Any:
    with Model.load(folded.folder, device="cpu") as model:
        return model.spec


def query(options: dict[str, Any]) -> str:
    return urlencode({name: str(value).lower() for name, value in options.items()})


@pytest.mark.parametrize(
    ("options", "graph"),
    [
        ({}, "bound"),
        ({"num_samples": 7}, "bound"),
        ({"seed": 7}, "bound"),
        ({"alpha": 0.1, "fdr": 0.2}, "bound"),
        ({"features": True}, "surprise"),
        ({"explain": 2}, "surprise"),
    ],
)
async def test_all_other_fields_are_the_same_in_every_format(
    on_folded: Any, spec: Any, ran: Ran, options: dict[str, Any], graph: str
) -> None:
    x = folded_rows(40, seed=5)
    x[::4, 1:] *= 9.0
    rows, address = as_json(x, spec), f"/elbo?{query({**options, **WITHOUT})}"
    whole = (await on_folded.post("/elbo", {"inputs": rows, **options})).json()
    ran.clear()
    reply = await on_folded.post("/elbo", {"inputs": rows, **options, **WITHOUT})
    assert ran[graph] >= len(x)
    assert ran["elbo"] == 0
    check(reply, "/elbo", 200)
    by_json = reply.json()
    by_npy = records(await on_folded.http.post(address, content=npy(x), headers=NPY))
    by_arrow = table_of(await on_folded.http.post(address, content=stream(as_table(x, spec)), headers=ARROW))
    assert by_json.keys() == whole.keys()
    assert by_json.pop("log_evidence") is None
    assert whole.pop("log_evidence") is not None
    assert "log_evidence" not in (by_npy.dtype.names or ())
    assert by_arrow["log_evidence"].type == pa.float64()
    assert by_arrow["log_evidence"].null_count == len(x)
    for name in ("elbo", "log_likelihood", "kl", "score"):
        assert by_json.pop(name) == pytest.approx(whole.pop(name), rel=1e-5), name
    assert by_json == whole  # p-values, verdicts, and the same outputs of the surprise graph
    for name in ("p_value", "is_anomaly") if whole["p_value"] else ():
        np.testing.assert_array_equal(by_npy[name], whole[name])
        assert by_arrow[name].to_pylist() == whole[name]


async def test_requests_with_and_without_log_evidence_run_in_different_batches(
    on_folded: Any, spec: Any, ran: Ran
) -> None:
    x = folded_rows(40, seed=6)
    rows, asked = as_json(x, spec), [i % 3 > 0 for i in range(len(x))]
    whole = (await on_folded.post("/elbo", {"inputs": rows})).json()
    ran.clear()
    bodies = [{"inputs": [row], "log_evidence": wanted} for row, wanted in zip(rows, asked, strict=True)]
    replies = await asyncio.gather(*(on_folded.post("/elbo", body) for body in bodies))
    assert ran == {"elbo": sum(asked), "bound": len(x) - sum(asked)}
    for i, (reply, wanted) in enumerate(zip(replies, asked, strict=True)):
        said = reply.json()
        assert said["elbo"] == pytest.approx(whole["elbo"][i : i + 1], rel=1e-5)
        assert said["p_value"] == whole["p_value"][i : i + 1]
        assert said["log_evidence"] == (pytest.approx(whole["log_evidence"][i : i + 1], rel=1e-5) if wanted else None)


async def test_a_model_without_a_bound_graph_leaves_log_evidence_out_too(service: Any, ran: Ran) -> None:
    whole = (await service.post("/elbo", {"inputs": [ROW]})).json()
    ran.clear()
    said = (await service.post("/elbo", {"inputs": [ROW], **WITHOUT})).json()
    assert ran == {"elbo": 1}
    assert said == {**whole, "log_evidence": None}


async def test_an_image_body_takes_the_option_as_a_query_parameter(service: Any, digit_images: Any) -> None:
    content, headers = base64.b64decode(picture(digit_images[0])), {"content-type": "image/png"}
    path = "/models/digits/elbo"
    whole, said = [
        (await service.http.post(f"{path}{more}", content=content, headers=headers)).json()
        for more in ("", "?log_evidence=false")
    ]
    assert said["bits_per_dim"] == whole["bits_per_dim"]
    assert said == {**whole, "log_evidence": None}


@pytest.mark.parametrize("value", [None, 0, "false"])
async def test_a_log_evidence_option_that_is_not_a_boolean_is_refused(service: Any, value: Any) -> None:
    reply = await service.post("/elbo", {"inputs": [ROW], "log_evidence": value})
    assert reply.status_code == 422
    assert reply.json()["detail"].startswith("log_evidence: ")
    by_npy = await service.http.post("/elbo?log_evidence=0", content=npy(np.ones((1, 30))), headers=NPY)
    assert by_npy.status_code == 422


async def test_the_work_limit_is_the_same_without_log_evidence(models_dir: Any, start: Any) -> None:
    async with start(models_dir, default_model="breast-cancer", max_work=3 * 16 * 30) as small:
        for n, status in ((3, 200), (4, 413)):
            reply = await small.post("/elbo", {"inputs": [ROW] * n, **WITHOUT})
            assert reply.status_code == status, reply.text
