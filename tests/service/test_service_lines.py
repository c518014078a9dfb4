"""Bodies and replies of CSV and NDJSON say what JSON says, and errors=report keeps an invalid row to itself."""

from __future__ import annotations

import base64
import csv
import io
import json
from contextlib import suppress
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.service.conftest import Run, on
from vaekit.client.wire import ARROW_TYPE, CSV_TYPE, JSON_TYPE, NDJSON_TYPE, NPY_TYPE, ElboReply, EncodeReply
from vaekit.errors import VaeError
from vaekit.runtime import Model
from vaekit_service.codecs.lines.reader import LineReader
from vaekit_service.messages import Target

pytestmark = pytest.mark.anyio
on_mixed, on_several, on_grouped, on_shown = on("mixed"), on("several"), on("grouped"), on("shown")


async def send(
    service: Any, path: str, body: str | bytes, kind: str, accept: str, status: int = 200, **more: Any
) -> httpx.Response:
    headers = {"content-type": kind, "accept": accept}
    reply: httpx.Response = await service.http.post(path, content=body, headers=headers, **more)
    assert reply.status_code == status, reply.text
    assert status != 200 or reply.headers["content-type"] == accept
    return reply


def csv_of(rows: Any, names: Any = None) -> str:
    file = io.StringIO()
    lines = csv.writer(file, lineterminator="\n")
    lines.writerows([*([] if names is None else [names]), *rows])
    return file.getvalue()


def ndjson_of(rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def records(reply: httpx.Response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(reply.text)))


def objects(reply: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in reply.text.splitlines()]


@pytest.mark.parametrize("operation", ["elbo", "encode"])
async def test_rows_in_any_form_get_the_answer_of_json_in_any_form(
    service: Any, benign_rows: Any, breast_cancer: Model, operation: str
) -> None:
    names, rows = breast_cancer.spec.names, benign_rows[:7].tolist()
    want = (await service.post(f"/{operation}", {"inputs": rows})).json()
    fields = [name for name, value in want.items() if isinstance(value, list)]
    mixed_up = [dict(list(zip(names, row, strict=True))[::-1]) for row in rows]
    for body, kind in [
        (csv_of(rows, names), CSV_TYPE),
        (csv_of(rows), f"{CSV_TYPE}; charset=utf-8; header=absent"),
        (csv_of([row[::-1] for row in rows], names[::-1]), "application/csv"),
        (ndjson_of(rows), NDJSON_TYPE),
        (ndjson_of(mixed_up), "application/jsonl"),
        (json.dumps({"inputs": rows}), JSON_TYPE),
    ]:
        assert (await send(service, f"/{operation}", body, kind, JSON_TYPE)).json() == want
        lines = objects(await send(service, f"/{operation}", body, kind, NDJSON_TYPE))
        assert lines == [{name: want[name] and want[name][i] for name in lines[0]} for i in range(7)]
        assert set(fields) <= set(lines[0])
        reply = await send(service, f"/{operation}", body, kind, CSV_TYPE)
        assert reply.headers["vae-model"] == "breast-cancer"
        assert [float(row[next(iter(row))]) for row in records(reply)] == np.ravel(
            [np.ravel(row)[0] for row in want[fields[0]]]
        ).tolist()  # digit for digit
        npy = np.load(io.BytesIO((await send(service, f"/{operation}", body, kind, NPY_TYPE)).content))
        np.testing.assert_array_equal(npy[fields[0]], np.asarray(want[fields[0]], npy[fields[0]].dtype))


async def test_samples_of_either_form_can_be_sent_back_as_latents(service: Any) -> None:
    body = json.dumps({"n": 3, "seed": 5})
    drawn = (await service.post("/sample", body)).json()
    want = (await service.post("/decode", {"latents": drawn["latents"]})).json()
    for kind in (CSV_TYPE, NDJSON_TYPE):
        reply = await send(service, "/sample", body, JSON_TYPE, kind)
        assert reply.headers["vae-seed"] == "5"
        got = (await send(service, "/decode", reply.text, kind, JSON_TYPE)).json()
        np.testing.assert_allclose(got["mean"], want["mean"], rtol=1e-6)
    [row, *_] = records(await send(service, "/sample", body, JSON_TYPE, CSV_TYPE))
    assert [float(row[f"samples.{name}"]) for name in ("mean radius", "worst area")] == [
        drawn["samples"][0][0],
        drawn["samples"][0][23],
    ]
    lacking = await send(service, "/decode", "latents.0\n1\n", CSV_TYPE, JSON_TYPE, 422)
    assert "the input lacks 7 of the model's columns: 'latents.1'" in lacking.json()["detail"]
    empty = await send(service, "/decode", ndjson_of([[None] * 8]), NDJSON_TYPE, JSON_TYPE, 422)
    assert empty.json()["detail"] == "row 0, feature 'latents.0': missing"


async def test_text_of_csv_means_what_it_means_in_a_file(on_mixed: Any) -> None:
    spec = next(iter(on_mixed.components.registry.loaded_models())).manifest.input
    rows = [
        {c.name: "true" if c.kind == "binary" else " 1.0 " if c.levels is None else c.levels[0] for c in spec.columns},
        {c.name: "" if c.may_be_missing else "1" if c.levels is None else c.levels[-1] for c in spec.columns},
    ]
    body = csv_of([row.values() for row in rows], spec.names)
    got = objects(await send(on_mixed, "/elbo", body, CSV_TYPE, NDJSON_TYPE))
    numbers = {"true": True, " 1.0 ": 1.0, "1": 1, "": None}
    plain = [{c.name: row[c.name] if c.levels else numbers[row[c.name]] for c in spec.columns} for row in rows]
    want = (await on_mixed.post("/elbo", {"inputs": plain})).json()
    assert [row["elbo"] for row in got] == want["elbo"]
    assert [row["observed_count"] for row in got] == want["observed_count"]
    flat = records(await send(on_mixed, "/elbo", body, CSV_TYPE, CSV_TYPE))
    assert [float(row["elbo"]) for row in flat] == want["elbo"]
    text = await send(on_mixed, "/elbo", ndjson_of([{**plain[0], spec.names[0]: "x"}]), NDJSON_TYPE, CSV_TYPE, 422)
    assert f"row 0, feature '{spec.names[0]}'" in text.json()["detail"]


async def test_other_columns_are_named_and_ids_come_back(service: Any, benign_rows: Any, breast_cancer: Model) -> None:
    names = ["key", *breast_cancer.spec.names, "site"]
    rows = [[f"r{i}", *row, "a"] for i, row in enumerate(benign_rows[:3].tolist())]
    reply = await send(service, "/elbo?id_column=key", csv_of(rows, names), CSV_TYPE, CSV_TYPE)
    assert json.loads(reply.headers["vae-ignored-columns"]) == ["site"]
    assert [row["id"] for row in records(reply)] == ["r0", "r1", "r2"]
    by_name = ndjson_of(dict(zip(names, row, strict=True)) for row in rows)
    reply = await send(service, "/elbo?id_column=key", by_name, NDJSON_TYPE, NDJSON_TYPE)
    assert [row["id"] for row in objects(reply)] == ["r0", "r1", "r2"]
    whole = (await send(service, "/elbo?id_column=key", by_name, NDJSON_TYPE, JSON_TYPE)).json()
    assert whole["ids"] == ["r0", "r1", "r2"]
    listed = ndjson_of(benign_rows[:3].tolist())
    reply = await send(service, '/elbo?ids=[7,"x",null]', listed, NDJSON_TYPE, NDJSON_TYPE)
    assert [row["id"] for row in objects(reply)] == [7, "x", None]
    body = {"inputs": benign_rows[:2].tolist(), "ids": ["a", "b"]}
    assert "ids" not in (await service.post("/elbo", body)).json()
    reply = await send(service, "/elbo", json.dumps(body), JSON_TYPE, CSV_TYPE)
    assert [row["id"] for row in records(reply)] == ["a", "b"]
    for path, form, said in [
        ("/elbo?id_column=no", csv_of(rows, names), "id_column: the header has no column 'no'"),
        ("/elbo?ids=[1]", csv_of(rows, names), "ids: 1 ids for more rows"),
        ("/elbo?ids=[1,2,3,4]", csv_of(rows, names), "ids: 4 ids for 3 rows"),
    ]:
        assert (await send(service, path, form, CSV_TYPE, JSON_TYPE, 422)).json()["detail"] == said
    reply = await send(service, "/elbo?id_column=no", by_name, NDJSON_TYPE, CSV_TYPE, 422)
    assert reply.json()["detail"] == "id_column: the first row has no column 'no'"


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


async def test_options_that_need_all_rows_are_answered_after_the_last(service: Any, benign_rows: Any) -> None:
    rows = csv_of(benign_rows[:5].tolist())
    reply = await send(service, "/elbo?fdr=0.2", rows, f"{CSV_TYPE};header=absent", CSV_TYPE)
    assert "content-length" in reply.headers
    assert {row["is_discovery"] for row in records(reply)} <= {"true", "false"}


@pytest.mark.parametrize(
    ("kind", "options"),
    [("mixed", "explain=2"), ("several", "features=true"), ("grouped", ""), ("shown", "similar=2")],
)
async def test_every_field_of_a_row_has_its_columns(
    on_mixed: Any, on_several: Any, on_grouped: Any, on_shown: Any, kind: str, options: str
) -> None:
    service = {"mixed": on_mixed, "several": on_several, "grouped": on_grouped, "shown": on_shown}[kind]
    drawn = (await service.post("/sample", {"n": 3, "seed": 1})).json()["samples"]
    want = objects(await send(service, f"/elbo?{options}", ndjson_of(drawn), NDJSON_TYPE, NDJSON_TYPE))
    body = ndjson_of(drawn)
    flat = records(await send(service, f"/elbo?{options}", body, NDJSON_TYPE, CSV_TYPE))
    assert {name.partition(".")[0] for name in flat[0]} == set(want[0])
    if options == "explain=2":
        assert flat[0]["explanation.0.feature"] == want[0]["explanation"][0]["feature"]
    if options == "similar=2":
        assert float(flat[2]["similar.1.weight"]) == want[2]["similar"][1]["weight"]
    for row, object_ in zip(flat, want, strict=True):
        assert float(row["elbo"]) == object_["elbo"]
        assert row.get("group", "") == object_.get("group", "")


async def test_images_in_ndjson_are_files_pixels_or_objects_with_an_id(service: Any, digit_images: Any) -> None:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(digit_images[0, ..., 0]).save(file, "PNG")
    encoded = base64.b64encode(file.getvalue()).decode()
    want = (await service.post("/models/digits/elbo", {"inputs": digit_images[:1].tolist()})).json()["elbo"]
    rows = [encoded, digit_images[0].tolist(), {"id": "x", "image": encoded}]
    reply = await send(service, "/models/digits/elbo?id_column=id", ndjson_of(rows[::-1]), NDJSON_TYPE, NDJSON_TYPE)
    assert [row["elbo"] for row in objects(reply)] == want * 3
    assert objects(reply)[0]["id"] == "x"
    bad = ndjson_of(["!", 7, [[1]], encoded])
    lines = objects(await send(service, "/models/digits/elbo?errors=report", bad, NDJSON_TYPE, NDJSON_TYPE))
    assert [row["error"]["reason"][:12] for row in lines[:3]] == ['"!" is not b', "expected bas", "shape (1, 1,"]
    assert lines[3]["elbo"] == want[0]
    refused = await send(service, "/models/digits/elbo", "a\n1\n", CSV_TYPE, JSON_TYPE, 415)
    assert "accepts images" in refused.json()["detail"]
    files = {"inputs": [encoded, "!"], "errors": "report"}
    reply = await service.post("/models/digits/elbo", files)
    assert reply.json()["elbo"] == [want[0], None]


async def test_what_looks_like_csv_is_told_its_content_type(service: Any) -> None:
    refused = await service.http.put("/elbo", content=b"a,b\n1,2\n")
    assert refused.status_code == 415
    assert refused.json()["detail"].endswith("this body looks like CSV: add the header content-type: text/csv")


async def test_a_row_limit_holds_for_whole_replies_and_not_for_lines(
    start: Run, models_dir: Any, benign_rows: Any
) -> None:
    body, kind = csv_of(benign_rows[:100].tolist()), f"{CSV_TYPE};header=absent"
    async with start(models_dir, default_model="breast-cancer", max_rows=30) as service:
        refused = await send(service, "/elbo", body, kind, JSON_TYPE, 413)
        assert "may have any number, if the reply is CSV or NDJSON: accept: text/csv" in refused.json()["detail"]
        assert len(records(await send(service, "/elbo", body, kind, CSV_TYPE))) == 100
        assert service.lines()[-1]["rows"] == 100
        assert (await send(service, "/elbo", "\n" * 1000, kind, JSON_TYPE, 413)).status_code == 413


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([b"1,2", b"[1,2]", b'{"a":1}', b'"', b"\xff\xfe"]))),
    st.sampled_from(["fail", "report"]),
    st.booleans(),
    st.booleans(),
)
def test_whatever_the_bytes_are_a_reader_gives_rows_or_an_error_of_ours(
    breast_cancer: Model, pieces: list[bytes], errors: str, is_csv: bool, header: bool
) -> None:
    target = Target("elbo", breast_cancer.manifest, 100)
    reader = LineReader({"errors": errors}, target, is_csv=is_csv, header=header)
    with suppress(VaeError):
        for piece in pieces:
            reader.parse(reader.feed(piece))
        reader.parse(reader.end())
        reader.check_end()
