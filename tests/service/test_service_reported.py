"""With errors=report an invalid row is answered in its place, whatever the form of body and reply."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.service.conftest import Run
from tests.service.texts import csv_of, ndjson_of, objects, records, send
from vaekit.client.wire import ARROW_TYPE, CSV_TYPE, JSON_TYPE, NDJSON_TYPE, NPY_TYPE, ElboReply, EncodeReply
from vaekit.runtime import Model

pytestmark = pytest.mark.anyio


BROKEN = "row 1, feature 'mean perimeter': not a number: 'n/a'"


def with_faults(rows: Any) -> list[list[Any]]:
    """Six rows, of which the second and the fourth are invalid."""
    found = [list(row) for row in rows[:6].tolist()]
    found[1][2], found[3] = "n/a", [1.0]
    return found


@pytest.mark.parametrize("accept", [CSV_TYPE, NDJSON_TYPE, JSON_TYPE])
@pytest.mark.parametrize("kind", [f"{CSV_TYPE}; header=absent", NDJSON_TYPE])
async def test_the_first_invalid_row_refuses_the_request(
    service: Any, benign_rows: Any, kind: str, accept: str
) -> None:
    rows = with_faults(benign_rows)
    body = ndjson_of(rows) if kind == NDJSON_TYPE else csv_of(rows)
    refused = await send(service, "/elbo", body, kind, accept, 422)
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["detail"] == BROKEN


async def test_with_errors_report_invalid_rows_are_answered_in_their_place(service: Any, benign_rows: Any) -> None:
    rows, before = with_faults(benign_rows), reported(service)
    want = (await service.post("/elbo", {"inputs": [rows[i] for i in (0, 2, 4, 5)]})).json()["elbo"]
    for kind, body in [(f"{CSV_TYPE}; header=absent", csv_of(rows)), (NDJSON_TYPE, ndjson_of(rows))]:
        lines = objects(await send(service, "/elbo?errors=report", body, kind, NDJSON_TYPE))
        assert [row["elbo"] for row in lines if "elbo" in row] == want
        assert lines[1]["error"] == {
            "row": 1, "column": "mean perimeter", "reason": "not a number", "value": "n/a"
        }  # fmt: skip
        assert lines[3]["error"]["row"] == 3
        assert lines[3]["error"]["reason"] == "1 values, expected 30"
        flat = records(await send(service, "/elbo?errors=report", body, kind, CSV_TYPE))
        assert [float(row["elbo"]) for row in flat if not row["error"]] == want
        assert [row["error"] for row in flat][1] == BROKEN
        reply = await send(service, "/elbo?errors=report", body, kind, JSON_TYPE)
        assert reply.headers["vae-invalid-rows"] == "2"
        whole = ElboReply.model_validate(reply.json())
        assert whole.elbo == [want[0], None, want[1], None, want[2], want[3]]
        assert [one.row for one in whole.errors or ()] == [1, 3]
    assert reported(service) == before + 12


def reported(service: Any) -> float:
    value: float = service.components.metrics.reported_rows.labels("breast-cancer", "1")._value.get()
    return value


@pytest.mark.parametrize("operation", ["elbo", "encode"])
async def test_json_and_tables_report_invalid_rows_too(
    service: Any, benign_rows: Any, breast_cancer: Model, operation: str
) -> None:
    rows = with_faults(benign_rows)
    field = "elbo" if operation == "elbo" else "mu"
    want = (await service.post(f"/{operation}", {"inputs": [rows[i] for i in (0, 2, 4, 5)]})).json()[field]
    spread = [want[0], None, want[1], None, want[2], want[3]]
    reply = await service.post(f"/{operation}", {"inputs": rows, "errors": "report"})
    model = ElboReply if operation == "elbo" else EncodeReply
    assert getattr(model.model_validate(reply.json()), field) == spread
    names = breast_cancer.spec.names
    by_name = [dict(zip(names, row, strict=False)) for row in rows]
    assert (await service.post(f"/{operation}", {"inputs": by_name, "errors": "report"})).json()[field] == spread
    numbers = np.array([[np.inf] * 30 if i in (1, 3) else row for i, row in enumerate(rows)])
    table = pa.table(dict(zip(names, numbers.T, strict=True)))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body = sink.getvalue().to_pybytes()
    reply = await send(service, f"/{operation}?errors=report", body, ARROW_TYPE, ARROW_TYPE)
    found = pa.ipc.open_stream(reply.content).read_all()
    np.testing.assert_allclose(
        np.array([x for x in found[field].to_pylist() if x is not None]), np.array(want), rtol=1e-6
    )
    assert found["error"].to_pylist()[3] == "row 3, feature 'mean radius': not finite: inf"
    assert found["error"].null_count == 4
    reply = await send(service, f"/{operation}?errors=report", body, ARROW_TYPE, JSON_TYPE)
    assert [one["row"] for one in reply.json()["errors"]] == [1, 3]


async def test_ids_stay_with_their_rows_if_others_are_invalid(service: Any, benign_rows: Any) -> None:
    body = {"inputs": with_faults(benign_rows), "errors": "report", "ids": list("abcdef")}
    errors = (await service.post("/elbo", body)).json()["errors"]
    assert [(one["id"], one["row"]) for one in errors] == [("b", 1), ("d", 3)]
    lines = objects(await send(service, "/elbo", json.dumps(body), JSON_TYPE, NDJSON_TYPE))
    assert [row["id"] for row in lines] == list("abcdef")
    assert "error" in lines[1]
    assert "error" in lines[3]
    short = await service.post("/elbo", {**body, "ids": ["a"]})
    assert short.json()["detail"] == "ids: 1 ids for 6 rows"
    bad_ids = ndjson_of({"id": one, **{"mean radius": 1}} for one in ([], "x"))
    lines = objects(await send(service, "/elbo?errors=report&id_column=id", bad_ids, NDJSON_TYPE, NDJSON_TYPE))
    assert lines[1]["id"] == "x"


async def test_a_reply_without_a_place_for_reasons_is_refused(service: Any, benign_rows: Any) -> None:
    body = json.dumps({"inputs": with_faults(benign_rows), "errors": "report"})
    refused = await send(service, "/elbo", body, JSON_TYPE, NPY_TYPE, 406)
    assert refused.json()["detail"] == "errors=report: application/x-npy has no place for the reasons of invalid rows"


async def test_if_no_row_can_be_read_a_whole_reply_is_refused_and_lines_say_why(service: Any) -> None:
    body = csv_of([["a"], ["b"]])
    refused = await send(service, "/elbo?errors=report", body, f"{CSV_TYPE};header=absent", JSON_TYPE, 422)
    assert refused.json()["detail"] == "none of the 2 rows can be read; row 0: 1 values, expected 30: 'a'"
    reply = await send(service, "/elbo?errors=report", body, f"{CSV_TYPE};header=absent", CSV_TYPE)
    assert [row["error"] for row in records(reply)] == [
        "row 0: 1 values, expected 30: 'a'",
        "row 1: 1 values, expected 30: 'b'",
    ]


async def test_rows_of_a_stream_count_in_model_health_and_the_score_log(
    start: Run, models_dir: Path, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    async with start(models_dir, default_model="breast-cancer", score_log=tmp_path / "log") as service:
        manifest = (await service.http.get("/models/breast-cancer")).json()
        header = ",".join(["key", *(column["name"] for column in manifest["input"]["columns"])])
        rows = "".join(f"k{i}," + ",".join(["1.5"] * 30) + "\n" for i in range(3))
        headers = {"content-type": CSV_TYPE, "accept": CSV_TYPE}
        for body in (f"{header}\n{rows}bad,x\n", f"{header}\n{rows}"):
            path = "/elbo?id_column=key&errors=report"
            reply = await service.http.post(path, content=body, headers=headers)
            assert reply.status_code == 200, reply.text
        await service.components.health.update()
        health = (await service.http.get("/models/breast-cancer/health")).json()
        assert health["rows"] == 6
    logged = pq.read_table(tmp_path / "log").to_pylist()
    assert sorted(row["id"] for row in logged) == sorted([f"k{i}" for i in range(3)] * 2)
