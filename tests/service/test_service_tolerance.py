"""Tolerance rules at /elbo: of the request or the model, in every format, within the limits on work."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from vaekit.client.wire import ARROW_TYPE, NPY_TYPE

pytestmark = pytest.mark.anyio
ELBO = "/models/breast-cancer/elbo"
COLUMN = 3
RULES = {"mean area": {"above": 2000, "below": "any"}}
OFF = {"is_anomaly", "tolerated"}


@pytest.fixture
def rows(benign_rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """12 rows, of which every second has a mean area that deviates."""
    x = benign_rows[:12].copy()
    x[::2, COLUMN] += 6 * benign_rows[:, COLUMN].std()
    return x


@pytest.fixture(scope="module")
async def with_rules(start: Any, models_dir: Path, tmp_path_factory: Any, anyio_backend: str) -> AsyncIterator[Any]:
    """A service whose model has rules in its manifest."""
    assert anyio_backend == "asyncio"
    root = tmp_path_factory.mktemp("ruled")
    folder = root / "breast-cancer" / "1"
    shutil.copytree(models_dir / "breast-cancer" / "1", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": "1.4", "ignore": RULES}))
    async with start(root) as running:
        yield running


async def ask(service: Any, rows: NDArray[np.float64], **options: Any) -> dict[str, Any]:
    reply = await service.post(ELBO, {"inputs": rows.tolist(), **options})
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def test_rules_of_a_request_remove_alarms_and_change_nothing_else(service: Any, rows: Any) -> None:
    plain, ruled = await ask(service, rows), await ask(service, rows, ignore=RULES)
    assert "tolerated" not in plain
    assert all(plain["is_anomaly"][::2])
    assert ruled["tolerated"][::2] == [["mean area"]] * 6
    assert [not was or bool(names) for was, names in zip(plain["is_anomaly"], ruled["tolerated"], strict=True)] == [
        not now for now in ruled["is_anomaly"]
    ]
    assert {name: a for name, a in ruled.items() if name not in OFF} == {
        name: a for name, a in plain.items() if name not in OFF
    }


async def test_the_rules_of_the_model_apply_unless_a_request_has_its_own(with_rules: Any, rows: Any) -> None:
    assert (await ask(with_rules, rows))["tolerated"][::2] == [["mean area"]] * 6
    without = await ask(with_rules, rows, ignore={})
    assert "tolerated" not in without
    assert all(without["is_anomaly"][::2])
    other = await ask(with_rules, rows, ignore={"mean area": {"below": "any"}})
    assert not any(other["tolerated"][::2])
    assert other["is_anomaly"] == without["is_anomaly"]


async def test_options_that_have_no_verdict_have_no_alarm_to_remove(with_rules: Any, rows: Any) -> None:
    reply = await ask(with_rules, rows, seed=3)
    assert reply["is_anomaly"] is None
    assert reply["tolerated"] == [[]] * 12


async def test_rules_go_together_with_an_explanation_and_discoveries(service: Any, rows: Any) -> None:
    options = {"explain": 1, "fdr": 0.5, "features": True}
    plain, ruled = await ask(service, rows, **options), await ask(service, rows, ignore=RULES, **options)
    assert ruled["tolerated"][0] == ["mean area"] == [cell["feature"] for cell in ruled["explanation"][0]]
    assert ruled["is_discovery"] == plain["is_discovery"]  # selected by p-values, which do not depend on rules


async def test_arrays_and_tables_name_the_rules_too(service: Any, rows: Any) -> None:
    want = (await ask(service, rows, ignore=RULES))["tolerated"]
    body = io.BytesIO()
    np.save(body, rows)
    params = {"ignore": json.dumps(RULES)}
    for accept in (NPY_TYPE, ARROW_TYPE):
        headers = {"content-type": NPY_TYPE, "accept": accept}
        reply = await service.http.post(ELBO, content=body.getvalue(), headers=headers, params=params)
        assert reply.status_code == 200, reply.text
        if accept == NPY_TYPE:
            found = np.load(io.BytesIO(reply.content))["tolerated"]
            assert [json.loads(text) if text else [] for text in found] == want
        else:
            table = pa.ipc.open_stream(reply.content).read_all()
            assert table["tolerated"].type == pa.list_(pa.string())
            assert table["tolerated"].to_pylist() == want


@pytest.mark.parametrize(
    ("rules", "detail"),
    [
        ({"area": {"above": 1}}, "ignore: column 'area' is not a column of the model; its columns are mean radius"),
        ({"mean area": {"above": -1}}, "ignore: column 'mean area': above: -1: expected a number of at least 0"),
        ({"mean area": {"over": 1}}, "ignore: column 'mean area': over: no such key; the keys are above and below"),
        ({"mean area": 5}, "ignore: column 'mean area': 5: expected above and below, such as"),
        ({"mean area": {}}, "ignore: column 'mean area': the rule tolerates nothing: give above, below or both"),
        ([RULES], "ignore: a list, expected rules by column name, such as"),
    ],
)
async def test_rules_that_do_not_fit_are_refused_with_column_and_value(
    service: Any, rows: Any, rules: Any, detail: str
) -> None:
    body = io.BytesIO()
    np.save(body, rows)
    for reply in (
        await service.post(ELBO, {"inputs": rows.tolist(), "ignore": rules}),
        await service.http.post(
            ELBO, content=body.getvalue(), headers={"content-type": NPY_TYPE}, params={"ignore": json.dumps(rules)}
        ),
    ):
        assert reply.status_code == 422
        assert reply.json()["detail"].startswith(detail)


async def test_more_alarms_than_one_request_may_compare_are_refused(start: Any, models_dir: Path, rows: Any) -> None:
    work = 400 * 30 * 5  # of five alarms: about 400 passes of 30 columns each
    async with start(models_dir, default_model="breast-cancer", max_work=work) as small:
        assert not any((await ask(small, rows[1::2], ignore=RULES))["is_anomaly"][:1])
        reply = await small.post(ELBO, {"inputs": rows.tolist(), "ignore": RULES})
        assert reply.status_code == 413
        assert "alarms to compare with tolerance rules; with" in reply.json()["detail"]
        assert (await ask(small, rows))["is_anomaly"][0]
