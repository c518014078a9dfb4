"""The caller's ids of rows: taken from every form of body, and refused where they are not ids."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.kinds import NAMES, Published, mixed_rows
from tests.service.test_service_arrow import ARROW, as_table, stream
from tests.service.test_service_wire import NPY, npy
from vaekit.bundle import Manifest, find
from vaekit.bundle.read import read_manifest
from vaekit.client import requests
from vaekit.client.wire import ElboOptions
from vaekit_service.codecs import json_codec
from vaekit_service.codecs.negotiation import READERS
from vaekit_service.messages import Target

IDS = ["a-1", 17, None]
ROWS = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]]


def read(target: Target, kind: str, body: bytes, **query: str) -> Any:
    reader = next(one for one in READERS if one.media_type == kind)
    return reader.read(body, query, target)


@pytest.fixture
def numbers(several: Published) -> Target:
    """A model of three columns of numbers."""
    return Target("elbo", manifest_of(several), 100)


def manifest_of(published: Published) -> Manifest:
    return read_manifest(find(published.root, published.folder.name))


@pytest.fixture
def mixed_target(mixed: Published) -> Target:
    return Target("elbo", manifest_of(mixed), 100)


@pytest.mark.parametrize("simdjson", [json_codec.simdjson, None])
def test_json_takes_a_list_of_ids_with_and_without_the_fast_parser(
    simdjson: Any, numbers: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_codec, "simdjson", simdjson)
    rows = [row[: numbers.manifest.input.dim] for row in ROWS]
    body = json.dumps({"inputs": rows, "ids": ["a[1", 17, None]}).encode()
    parsed = json_codec.read(body, {}, numbers)
    assert list(parsed.ids or ()) == ["a[1", 17, None]
    np.testing.assert_array_equal(parsed.rows, rows)


def test_ids_do_not_leave_the_fast_parser(numbers: Target) -> None:
    if json_codec.simdjson is None:
        pytest.skip("simdjson is not installed")
    rows = [row[: numbers.manifest.input.dim] for row in ROWS]
    parsed = json_codec.read_numbers(json.dumps({"ids": IDS, "inputs": rows}).encode(), numbers)
    assert parsed is not None
    assert list(parsed.ids or ()) == IDS


def test_rows_by_name_may_have_their_ids_in_a_column(mixed_target: Target) -> None:
    rows = [dict(zip(NAMES, row, strict=True)) for row in mixed_rows(2, seed=1).tolist()]
    rows[0]["ticket"], rows[1]["ticket"] = 7.0, None
    parsed = json_codec.read(
        json.dumps({"inputs": rows, "id_column": "ticket", "strict": True}).encode(), {}, mixed_target
    )
    assert parsed.ids == [7, None]
    assert parsed.ignored.columns == ()


def test_arrow_tables_may_have_their_ids_in_a_column(mixed_target: Target) -> None:
    table = as_table(np.array([[0.1, 1.0, 2.0, 1.0, 0.0]] * 2), mixed_target.manifest.input)
    for cells, want in ((["x", None], ["x", None]), (pa.array([3, 4], pa.int16()), [3, 4])):
        body = stream(table.append_column("ticket", pa.array(cells) if isinstance(cells, list) else cells))
        parsed = read(mixed_target, "application/vnd.apache.arrow.stream", body, id_column="ticket", strict="true")
        assert parsed.ids == want
        assert parsed.rows.shape == (2, 5)


def test_an_array_has_its_ids_in_the_query(numbers: Target) -> None:
    rows = np.array(ROWS)[:, : numbers.manifest.input.dim]
    parsed = read(numbers, NPY["content-type"], npy(rows), ids=json.dumps(IDS))
    assert parsed.ids == IDS


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"ids": ["a"]}, "ids: 1 ids for 3 rows"),
        ({"ids": ["a", "", "c"]}, "ids: row 1"),
        ({"ids": ["a", True, "c"]}, "ids: row 1: true is not text"),
        ({"ids": ["a", 2**63, "c"]}, "ids: row 1"),
        ({"ids": ["a", "b" * 129, "c"]}, "ids: row 1"),
        ({"ids": "a"}, "ids: not a list"),
        ({"id_column": "a"}, "id_column: these rows have no column names"),
        ({"id_column": "a", "ids": [1, 2, 3]}, "id_column: give either ids or id_column"),
    ],
)
@pytest.mark.anyio
async def test_ids_that_are_none_are_refused(more: dict[str, Any], says: str, on_several: Any) -> None:
    width = next(iter(on_several.components.registry.latest)).model.manifest.input.dim
    reply = await on_several.post("/elbo", {"inputs": [[0.1] * width] * 3, **more})
    assert reply.status_code == 422
    assert says in reply.json()["detail"]


@pytest.mark.anyio
async def test_arrow_id_columns_that_hold_no_ids_are_refused(on_mixed: Any) -> None:
    spec = next(iter(on_mixed.components.registry.latest)).model.manifest.input
    table = as_table(np.array([[0.1, 1.0, 2.0, 1.0, 0.0]] * 2), spec)
    cases = {
        "no such column": (table, "0 columns have the name"),
        "floats": (table.append_column("t", pa.array([0.5, 1.0])), "type double"),
        "long text": (table.append_column("t", pa.array(["a", "b" * 129])), "row 1: text of more than 128"),
        "empty text": (table.append_column("t", pa.array(["a", ""])), "row 1"),
    }
    for what, (sent, says) in cases.items():
        reply = await on_mixed.http.post("/elbo?id_column=t", content=stream(sent), headers=ARROW)
        assert reply.status_code == 422, what
        assert says in reply.json()["detail"], what


@pytest.mark.parametrize("form", ["lists", "array", "table", "frame", "dicts"])
def test_the_client_sends_ids_with_every_form_of_rows(form: str, mixed_target: Target) -> None:
    pd = pytest.importorskip("pandas")
    dicts = [dict(zip(NAMES, row, strict=True)) for row in mixed_rows(3, seed=1).tolist()]
    forms: dict[str, Any] = {
        "lists": [list(row.values()) for row in dicts],
        "array": np.array([[0.1, 1.0, 2.0, 1.0, np.nan]] * 3),
        "table": pa.Table.from_pylist(dicts),
        "frame": pd.DataFrame(dicts),
        "dicts": dicts,
    }
    options = dict.fromkeys(("num_samples", "seed", "alpha", "fdr"))
    call = requests.elbo(forms[form], None, None, **options, log_evidence=True, features=False, ids=np.array([5, 6, 7]))
    assert call.content is not None
    parsed = read(mixed_target, call.headers["content-type"], call.content, **call.params)
    assert [str(one) for one in parsed.ids] == ["5", "6", "7"]


def test_the_client_names_a_column_of_the_rows(mixed_target: Target) -> None:
    rows = [dict(zip(NAMES, row, strict=True)) | {"t": f"n{i}"} for i, row in enumerate(mixed_rows(3, seed=1).tolist())]
    for sent in (rows, pa.Table.from_pylist(rows)):
        call = requests.elbo(
            sent, None, None, num_samples=None, seed=None, alpha=None, fdr=None, log_evidence=True, features=False,
            ids="t",
        )  # fmt: skip
        assert call.content is not None
        assert read(mixed_target, call.headers["content-type"], call.content, **call.params).ids == ["n0", "n1", "n2"]


def test_only_elbo_has_ids() -> None:
    assert {"ids", "id_column"} <= set(ElboOptions.model_fields)
