"""Bodies and replies of CSV and NDJSON say what JSON says, and errors=report keeps an invalid row to itself."""

from __future__ import annotations

import base64
import io
import json
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.service.conftest import Run, on
from tests.service.texts import csv_of, ndjson_of, objects, records, send
from vaekit.client.wire import CSV_TYPE, JSON_TYPE, NDJSON_TYPE, NPY_TYPE
from vaekit.errors import VaeError
from vaekit.runtime import Model
from vaekit.tabular.csv_text import CsvDialect
from vaekit_service.codecs.lines.dialect import with_point
from vaekit_service.codecs.lines.reader import LineReader
from vaekit_service.messages import Target

pytestmark = pytest.mark.anyio
on_mixed, on_several, on_grouped, on_shown = on("mixed"), on("several"), on("grouped"), on("shown")


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


@settings(max_examples=150)
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


@pytest.mark.parametrize(("delimiter", "named"), [(";", "%3B"), ("\t", "tab"), ("\t", "%09"), ("|", "|")])
@pytest.mark.parametrize("accept", [JSON_TYPE, CSV_TYPE])
async def test_other_delimiters_and_decimal_commas_mean_the_same_numbers(
    service: Any, benign_rows: Any, breast_cancer: Model, delimiter: str, named: str, accept: str
) -> None:
    rows = benign_rows[:3].tolist()
    plain = csv_of(rows, breast_cancer.spec.names)
    want = await send(service, "/elbo", plain, CSV_TYPE, accept)
    for commas in (False, True):
        body = plain.replace(",", delimiter)
        query = f"delimiter={named}"
        if commas:
            head, _, cells = body.partition("\n")
            body, query = f"{head}\n{cells.replace('.', ',')}", f"{query}&decimal=,"
        for text, kind in ((body, CSV_TYPE), (body.partition("\n")[2], f"{CSV_TYPE}; header=absent")):
            assert (await send(service, f"/elbo?{query}", text, kind, accept)).text == want.text


async def test_decimal_commas_keep_levels_and_refuse_points(on_mixed: Any) -> None:
    spec = next(iter(on_mixed.components.registry.loaded_models())).manifest.input
    numbers = [column.name for column in spec.columns if column.levels is None and column.kind != "binary"]
    cells = {c.name: 1 if c.kind == "binary" else 1.5 if c.levels is None else c.levels[0] for c in spec.columns}
    want = (await on_mixed.post("/elbo", {"inputs": [cells]})).json()
    head, query = ";".join(cells), "/elbo?delimiter=;&decimal=,"
    text = {name: "1,5" if name in numbers else str(cell) for name, cell in cells.items()}
    reply = await send(on_mixed, query, f"{head}\n{';'.join(text.values())}\n", CSV_TYPE, JSON_TYPE)
    assert reply.json() == want
    wrong = ";".join({**text, numbers[0]: "1.5"}.values())
    reply = await send(on_mixed, query, f"{head}\n{wrong}\n", CSV_TYPE, JSON_TYPE, 422)
    assert f"row 0, feature '{numbers[0]}': not a number: \"1.5 (decimal separator ',')\"" in reply.json()["detail"]


@pytest.mark.parametrize(
    ("query", "kind", "detail"),
    [
        ("delimiter=:", CSV_TYPE, "query parameter delimiter: ':', expected one of ; | tab and the comma"),
        ("decimal=x", CSV_TYPE, "query parameter decimal: 'x', expected . or ,"),
        ("decimal=,", CSV_TYPE, "query parameters delimiter and decimal: both are ','; expected different ones"),
        ("delimiter=;", NDJSON_TYPE, "delimiter"),
    ],
)
async def test_a_wrong_dialect_is_refused(service: Any, query: str, kind: str, detail: str) -> None:
    reply = await send(service, f"/elbo?{query}", "a,b\n1,2\n", kind, JSON_TYPE, 422)
    assert detail in reply.json()["detail"]


@given(st.text("0123456789.,+-eE \t'a", max_size=8))
def test_a_decimal_comma_is_read_as_in_files(cell: str) -> None:
    assert with_point(cell) == CsvDialect(";", ",").plain(pa.array([cell])).to_pylist()[0]


async def test_a_header_of_semicolons_names_the_parameter(service: Any, benign_rows: Any, breast_cancer: Model) -> None:
    body = csv_of(benign_rows[:1].tolist(), breast_cancer.spec.names).replace(",", ";")
    reply = await send(service, "/elbo", body, CSV_TYPE, JSON_TYPE, 422)
    assert "?delimiter=%3B separates cells by ';'" in reply.json()["detail"]
