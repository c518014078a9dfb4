"""The service takes the time steps of series, or windows, in every form, and answers with one result per step."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.kinds import Published, series_columns
from tests.live import serving
from tests.service.conftest import Running, run
from vaekit import Client, Model
from vaekit.client import RequestRefused
from vaekit.client.wire import ARROW_TYPE, NPY_TYPE, ElboReply
from vaekit.scoring import RemoteScorer, score_file
from vaekit_service.codecs import json_codec
from vaekit_service.messages import Target
from vaekit_training.config import make_config
from vaekit_training.data.load import of_array
from vaekit_training.run import train

pytestmark = pytest.mark.anyio

FRAME = pd.DataFrame(series_columns(25, seed=12, gap=12))
RECORDS = [
    {name: None if isinstance(cell, float) and np.isnan(cell) else cell for name, cell in row.items()}
    for row in FRAME.to_dict("records")
]
STEPS = np.random.default_rng(2).standard_normal((12, 3)) * [0.5, 0.5, 0] + [0, 20, 1]
WINDOWS = np.lib.stride_tricks.sliding_window_view(STEPS, 4, axis=0).transpose(0, 2, 1)  # (9, 4, 3)


@pytest.fixture(scope="module")
async def service(windowed: Published, anyio_backend: str) -> AsyncIterator[Running]:
    assert anyio_backend == "asyncio"
    async with run(windowed.root) as running:
        yield running


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with a model of windows of numbers alone, without times and series."""
    config = make_config({"name": "numbers", "data": {"source": "memory", "window": 3}, "likelihood": {"name": "auto"}})
    x = np.random.default_rng(0).standard_normal((300, 2))
    rows = of_array(x, ["a", "b"], config=config.data, likelihood=config.likelihood)
    folder = tmp_path_factory.mktemp("models")
    train(config, folder, device="cpu", rows=rows, draws_report=False)
    return folder


@pytest.fixture(scope="module")
def model(windowed: Published) -> Iterator[Model]:
    with Model.load(windowed.folder, device="cpu") as model:
        yield model


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def arrow(frame: Any) -> bytes:
    table, sink = pa.table(frame), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def check(reply: dict[str, Any], want: Any) -> None:
    found = np.array(reply["elbo"], dtype=float)  # null is NaN
    np.testing.assert_allclose(found, want.elbo, rtol=1e-5)
    lost = np.isnan(want.elbo)
    for name in ("p_value", "score", "kl", "is_anomaly", "observed_count", "log_evidence"):
        assert [value is None for value in reply[name]] == lost.tolist(), name
    ElboReply.model_validate(reply)


async def test_records_of_series_have_one_result_per_time_step(service: Running, model: Model) -> None:
    reply = (await service.post("/elbo", {"inputs": RECORDS})).json()
    want = model.elbo(FRAME)
    check(reply, want)
    said = "12 of 50 time steps have no score: a window needs 4 consecutive time steps of one series"
    assert reply["p_value_reason"] == said
    assert reply["warnings"] == [said]
    assert "ignored_columns" not in reply


@pytest.mark.parametrize("shape", ["lists", "npy"])
async def test_rows_without_names_are_the_steps_of_one_series(service: Running, model: Model, shape: str) -> None:
    want = model.elbo(STEPS)
    if shape == "npy":
        answer = await service.http.post("/elbo", content=npy(STEPS), headers={"content-type": NPY_TYPE})
    else:
        named = [[*row[:2], "night"] for row in STEPS.tolist()]
        answer = await service.post("/elbo", {"inputs": named})
    check(answer.json(), want)


@pytest.mark.parametrize("form", ["nested", "flat", "npy", "flat npy"])
async def test_windows_have_one_result_each(service: Running, model: Model, form: str) -> None:
    want = model.elbo(WINDOWS)
    nested = [[[*step[:2], "night"] for step in window] for window in WINDOWS.tolist()]
    if form in ("nested", "flat"):
        inputs = nested if form == "nested" else [[cell for step in window for cell in step] for window in nested]
        reply = (await service.post("/elbo", {"inputs": inputs})).json()
    else:
        content = npy(WINDOWS if form == "npy" else WINDOWS.reshape(9, 12))
        reply = (await service.http.post("/elbo", content=content, headers={"content-type": NPY_TYPE})).json()
    np.testing.assert_allclose(reply["elbo"], want.elbo, rtol=1e-5)
    assert reply["p_value_reason"] is None


async def test_an_arrow_table_of_steps_with_texts_or_dates_as_times(service: Running, model: Model) -> None:
    want = model.elbo(FRAME)
    for frame in (
        pl.from_pandas(FRAME).to_arrow(),
        pa.Table.from_pandas(FRAME.assign(ts=pd.to_datetime(FRAME["ts"]), note=1), preserve_index=False),
        pa.Table.from_pandas(FRAME.astype({"machine": "category"}), preserve_index=False),
    ):
        for accept in ("application/json", ARROW_TYPE, NPY_TYPE):
            answer = await service.http.post(
                "/elbo?explain=2&features=true",
                content=arrow(frame),
                headers={"content-type": ARROW_TYPE, "accept": accept},
            )
            assert answer.status_code == 200, answer.text
            if accept == "application/json":
                check(answer.json(), want)
                assert answer.json()["explanation"][0] == []
                assert answer.json()["explanation"][-1][0]["feature"] in model.spec.names
            elif accept == ARROW_TYPE:
                table = pa.ipc.open_stream(answer.content).read_all()
                assert table.num_rows == 50
                assert table["p_value"].null_count == table["observed_count"].null_count == 12
            else:
                records = np.load(io.BytesIO(answer.content))
                np.testing.assert_allclose(records["elbo"], want.elbo, rtol=1e-5)
                assert "12 of 50 time steps" in answer.headers["vae-p-value-reason"]


async def test_lists_of_numbers_are_read_directly_as_steps_and_as_windows(numbers: Path) -> None:
    x = np.random.default_rng(1).standard_normal((40, 2)).round(3)
    with Model.load(numbers / "numbers", device="cpu") as model:
        want = model.elbo(x).elbo
    target = Target("elbo", model.manifest, 1000)
    parsed = json_codec.read_directly(json.dumps({"inputs": x.tolist()}).encode(), {}, target)
    assert parsed is not None
    assert parsed.ends is not None
    async with run(numbers) as service:
        steps = (await service.post("/elbo", {"inputs": x.tolist()})).json()["elbo"]
        windows = np.lib.stride_tricks.sliding_window_view(x, 3, axis=0).transpose(0, 2, 1).reshape(38, 6)
        flat = (await service.post("/elbo", {"inputs": windows.tolist()})).json()["elbo"]
        mixed = await service.post("/elbo", {"inputs": [[0.0] * 2, [0.0] * 6]})
    np.testing.assert_allclose(np.array(steps, dtype=float), want, rtol=1e-5)
    np.testing.assert_allclose(flat, want[2:], rtol=1e-5)
    assert mixed.status_code == 422


async def pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(body), size):
        yield body[at : at + size]


def csv_body() -> bytes:
    return FRAME.to_csv(index=False).encode()


def ndjson_body(rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.mark.parametrize("kind", ["text/csv", "application/x-ndjson"])
@pytest.mark.parametrize("size", [97, 10**6])
async def test_lines_are_answered_while_they_arrive_with_windows_across_batches(
    service: Running, model: Model, kind: str, size: int
) -> None:
    want = model.elbo(FRAME)
    body = csv_body() if kind == "text/csv" else ndjson_body(RECORDS)
    headers = {"content-type": kind, "accept": "application/x-ndjson"}
    answer = await service.http.post("/elbo?id_column=ts", content=pieces(body, size), headers=headers)
    assert answer.status_code == 200, answer.text
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["id"] for line in lines] == FRAME["ts"].tolist()
    np.testing.assert_allclose(np.array([line["elbo"] for line in lines], dtype=float), want.elbo, rtol=1e-5)
    lost = np.isnan(want.elbo)
    for name in ("p_value", "is_anomaly", "observed_count"):
        assert [line[name] is None for line in lines] == lost.tolist(), name
    as_json = await service.http.post("/elbo", content=body, headers={"content-type": kind})
    check(as_json.json(), want)
    table = await service.http.post("/elbo", content=body, headers={"content-type": kind, "accept": "text/csv"})
    np.testing.assert_allclose(pd.read_csv(io.StringIO(table.text))["elbo"], want.elbo, rtol=1e-5)


async def test_lines_of_lists_are_one_series_and_lines_of_windows_are_windows(service: Running, model: Model) -> None:
    named = [[*row[:2], "night"] for row in STEPS.tolist()]
    windows = [[cell for step in named[i : i + 4] for cell in step] for i in range(9)]
    headers = {"content-type": "application/x-ndjson"}
    for rows, want in ((named, model.elbo(STEPS)), (windows, model.elbo(WINDOWS))):
        answer = await service.http.post("/elbo", content=ndjson_body(rows), headers=headers)
        np.testing.assert_allclose(np.array(answer.json()["elbo"], dtype=float), want.elbo, rtol=1e-5)


@pytest.mark.parametrize("kind", ["text/csv", "application/x-ndjson", "application/json"])
async def test_invalid_time_steps_cannot_be_reported_row_by_row(service: Running, kind: str) -> None:
    if kind == "application/json":
        answer = await service.post("/elbo", {"inputs": RECORDS, "errors": "report"})
    else:
        body = csv_body() if kind == "text/csv" else ndjson_body(RECORDS)
        answer = await service.http.post("/elbo?errors=report", content=body, headers={"content-type": kind})
    assert answer.status_code == 422
    assert "errors: 'report' is for rows that are scored one by one" in answer.json()["detail"]


async def test_a_body_of_lines_may_have_as_many_series_as_a_request_has_rows(windowed: Published) -> None:
    rows = [{**row, "machine": f"m{i}"} for i, row in enumerate(RECORDS[:12])]
    headers = {"content-type": "application/x-ndjson", "accept": "application/x-ndjson"}
    async with run(windowed.root, max_rows=10) as small:
        answer = await small.http.post("/elbo", content=ndjson_body(rows), headers=headers)
    assert "more than 10 series; send their steps in several requests" in answer.text


@pytest.mark.parametrize("report", [True, False])
async def test_an_invalid_time_step_ends_the_request(service: Running, report: bool) -> None:
    broken = csv_body().splitlines(keepends=True)
    broken[1] = b"2024-03-01T00:00:00,p,high,20,day\n"
    answer = await service.http.post(
        f"/elbo?errors={'report' if report else 'fail'}", content=b"".join(broken), headers={"content-type": "text/csv"}
    )
    assert answer.status_code == 422
    said = "rows that are scored one by one" if report else "row 0, feature 'load': not a number: 'high'"
    assert said in answer.json()["detail"]


@pytest.mark.parametrize("at", [0, 20])
@pytest.mark.parametrize("objects_first", [True, False])
async def test_objects_and_lists_are_not_mixed_in_a_body_of_lines(
    service: Running, objects_first: bool, at: int
) -> None:
    lists = [[row["load"], row["temp"], row["mode"]] for row in RECORDS]
    before, after = (RECORDS, lists) if objects_first else (lists, RECORDS)
    rows = [*before[:20], *after[20:]] if at else [*before[:1], *after[1:]]
    answer = await service.http.post(
        "/elbo", content=ndjson_body(rows), headers={"content-type": "application/x-ndjson"}
    )
    assert answer.status_code == 422
    said = "an object by column name" if objects_first else "a list"
    assert f"row {at or 1}: not {said} like the rows before" in answer.json()["detail"]


async def test_a_line_that_is_not_json_is_named_as_such(service: Running) -> None:
    body = ndjson_body(RECORDS[:20]) + b"{oops\n"
    answer = await service.http.post("/elbo", content=body, headers={"content-type": "application/x-ndjson"})
    assert answer.status_code == 422
    assert "row 20: not JSON" in answer.json()["detail"]


async def test_lines_that_end_before_the_first_window_are_refused(service: Running) -> None:
    answer = await service.http.post(
        "/elbo", content=ndjson_body(RECORDS[:6]), headers={"content-type": "application/x-ndjson"}
    )
    assert answer.status_code == 422
    assert "6 time steps, none of which can be scored" in answer.json()["detail"]
    lines = csv_body().splitlines(keepends=True)
    swapped = b"".join([*lines[:20], lines[30], *lines[20:]])
    answer = await service.http.post("/elbo", content=swapped, headers={"content-type": "text/csv"})
    assert "column 'ts': an earlier time than the row before of series" in answer.json()["detail"]


async def test_other_operations_give_steps_and_windows(service: Running, model: Model) -> None:
    reply = (await service.post("/encode", {"inputs": RECORDS})).json()
    assert len(reply["mu"]) == 50
    assert reply["mu"][0] == [None] * model.manifest.latent_dim
    decoded = (await service.post("/decode", {"latents": [[0.0] * model.manifest.latent_dim] * 2})).json()
    assert np.shape(decoded["mean"]) == (2, 4, 3)
    assert decoded["mean"][0][0][2] in ("day", "night")
    sampled = (await service.post("/sample", {"n": 3, "seed": 1, "observe": True})).json()
    assert np.shape(sampled["samples"]) == (3, 4, 3)
    again = await service.post("/elbo", {"inputs": sampled["samples"]})
    assert again.status_code == 200


async def test_discoveries_and_rules_are_those_of_windows(service: Running) -> None:
    odd = [dict(row) for row in RECORDS]
    odd[-1]["load"] = 5.0
    body = {"inputs": odd, "fdr": 0.2, "alpha": 0.1, "ignore": {"load[t]": {"above": "any"}}}
    reply = (await service.post("/elbo", body)).json()
    assert reply["is_discovery"][:3] == [None, None, None]
    assert reply["tolerated"][0] == []
    assert reply["tolerated"][-1] == ["load[t]"]
    assert reply["is_anomaly"][-1] is False


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"inputs": [[0, 20, "day"]] * 3}, 422, "3 time steps, none of which can be scored: a window needs 4"),
        ({"inputs": [[0, 20]] * 3}, 422, r"rows of 2 cells; expected time steps (T, 3)"),
        ({"inputs": [[[0, 20, "day"]] * 3]}, 422, r"window 0: expected time steps (T, 3)"),
        ({"inputs": RECORDS[::-1]}, 422, "column 'ts': an earlier time than the row before of series"),
        ({"inputs": [{k: v for k, v in r.items() if k != "ts"} for r in RECORDS]}, 422, "lacks the column of times"),
        ({"inputs": RECORDS, "ids": ["a"]}, 422, "ids: 1 ids for 50 rows"),
    ],
)
async def test_steps_that_cannot_be_scored_are_refused(
    service: Running, body: dict[str, Any], status: int, said: str
) -> None:
    answer = await service.post("/elbo", body)
    assert answer.status_code == status
    assert said in answer.json()["detail"]


async def test_more_time_steps_than_windows_of_a_request_are_refused(windowed: Published) -> None:
    async with run(windowed.root, max_rows=10) as small:
        answer = await small.post("/elbo", {"inputs": [[0, 20, "day"]] * 14})
        assert answer.status_code == 413
        assert "14 time steps; one request to this model may have at most 13" in answer.json()["detail"]
        assert (await small.post("/elbo", {"inputs": [[0, 20, "day"]] * 13})).status_code == 200


async def test_ids_are_those_of_the_steps_at_which_windows_end(windowed: Published, tmp_path: Path) -> None:
    async with run(windowed.root, score_log=tmp_path) as logging:
        body = {"inputs": RECORDS, "id_column": "ts"}
        assert (await logging.post("/elbo", body)).status_code == 200
        ids = [f"r{i}" for i in range(50)]
        assert (await logging.post("/elbo", {"inputs": RECORDS, "ids": ids})).status_code == 200
    logged = pa.concat_tables([pq.read_table(path) for path in sorted(tmp_path.rglob("*.parquet"))])
    found = logged["id"].to_pylist()
    assert len(found) == 2 * 38
    lost = {"r0", "r1", "r5", "r24", "r29"}
    assert not lost & set(found)
    assert {"r6", "r7", "r30", "r49", RECORDS[6]["ts"]} <= set(found)


async def test_the_health_of_a_model_of_windows_says_why_it_has_no_figures(service: Running) -> None:
    await service.post("/elbo", {"inputs": RECORDS})
    reading = (await service.http.get("/models/windowed/health")).json()["reading"]
    assert reading == "windows of a series overlap, so their scores are not compared with the calibration"


async def test_v2_takes_time_steps_and_windows(service: Running, model: Model) -> None:
    def tensor(name: str, cells: Any, datatype: str = "FP64") -> dict[str, Any]:
        return {"name": name, "datatype": datatype, "shape": list(np.shape(cells)), "data": np.ravel(cells).tolist()}

    columns = [
        tensor(name, FRAME[name].fillna(20.0) if name == "temp" else FRAME[name], kind)
        for name, kind in (("load", "FP64"), ("temp", "FP64"), ("mode", "BYTES"), ("ts", "BYTES"), ("machine", "BYTES"))
    ]
    whole = [tensor("inputs", STEPS)], [tensor("inputs", WINDOWS)], columns
    wants = model.elbo(STEPS), model.elbo(WINDOWS), model.elbo(FRAME.fillna({"temp": 20.0}))
    for inputs, want in zip(whole, wants, strict=True):
        answer = await service.post("/v2/models/windowed/infer", {"inputs": inputs})
        assert answer.status_code == 200, answer.text
        (elbo,) = [one["data"] for one in answer.json()["outputs"] if one["name"] == "elbo"]
        np.testing.assert_allclose(np.array(elbo, dtype=float), want.elbo, rtol=1e-5)


def test_the_client_and_a_remote_run_follow_the_same_rule(windowed: Published, model: Model, tmp_path: Path) -> None:
    want = model.elbo(FRAME)
    with serving(windowed.root) as url, Client(url) as client:
        for rows in (FRAME, pl.from_pandas(FRAME), RECORDS, FRAME.assign(ts=pd.to_datetime(FRAME["ts"]))):
            found = client.elbo(rows, explain=1)
            np.testing.assert_allclose(found.elbo, want.elbo, rtol=1e-5)
            np.testing.assert_array_equal(found.p_value, want.p_value)
            assert found.cells is not None
            assert found.cells[0] == []
        np.testing.assert_allclose(client.elbo(WINDOWS).elbo, model.elbo(WINDOWS).elbo, rtol=1e-5)
        assert client.sample(2, seed=0).samples.shape == (2, 4, 3)
        assert np.isnan(client.encode(STEPS).mu[:3]).all()
        scored = client.score(FRAME)
        np.testing.assert_allclose(scored["elbo"], want.elbo, rtol=1e-5)
        assert scored["observed_count"].isna().sum() == 12
        with pytest.raises(RequestRefused, match="lacks the column of series"):
            client.elbo(FRAME.drop(columns="machine"))
        FRAME.to_csv(tmp_path / "in.csv", index=False)
        score_file(RemoteScorer(client, "windowed"), tmp_path / "in.csv", tmp_path / "out.csv", batch_rows=7)
    np.testing.assert_allclose(pd.read_csv(tmp_path / "out.csv")["elbo"], want.elbo, rtol=1e-5)


async def test_kserve_v1_answers_a_prediction_for_each_time_step(service: Running, model: Model) -> None:
    path = f"/v1/models/{model.manifest.name}:predict"
    found = (await service.post(path, {"instances": RECORDS})).json()["predictions"]
    want = model.elbo(FRAME)
    scores = np.array([one["score"] for one in found], dtype=float)  # null is NaN
    np.testing.assert_allclose(scores, -want.elbo, rtol=1e-5)
    assert [one["is_anomaly"] is None for one in found] == np.isnan(want.elbo).tolist()
