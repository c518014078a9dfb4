"""Arrow bodies and replies have the same contents as JSON and npy, for every kind of model; pyarrow is optional."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from tests.kinds import NAMES, Published, mixed_rows
from tests.service.test_service_wire import NPY, npy, records
from vaekit.bundle import VectorSpec
from vaekit.runtime import Model

pytestmark = pytest.mark.anyio

TYPE = "application/vnd.apache.arrow.stream"
ARROW = {"content-type": TYPE, "accept": TYPE}
ROW = {"load": 0.5, "size": 2.0, "stops": 3, "on": True, "colour": "red"}
FACTS = ("seed", "alpha", "num_samples", "p_value_reason")


def stream(table: pa.Table | pa.RecordBatch, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write(table)
    return bytes(sink.getvalue())


def table_of(reply: httpx.Response) -> pa.Table:
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == TYPE
    table = pa.ipc.open_stream(reply.content).read_all()
    table.validate(full=True)
    return table


def as_table(x: NDArray[Any], spec: Any) -> pa.Table:
    """Rows of a model's array as a caller's table: columns in another order, levels by name, images flat."""
    if not isinstance(spec, VectorSpec):
        return pa.table({"pixels": fixed(x.reshape(len(x), -1))})
    columns: dict[str, Any] = {}
    for column, values in reversed(list(zip(spec.columns, x.T, strict=True))):
        cells = pa.array(values, from_pandas=True)  # NaN is null
        if column.levels is not None:
            cells = pa.DictionaryArray.from_arrays(cells.cast(pa.int8()), list(column.levels))
        columns[column.name] = cells
    return pa.table(columns)


def fixed(a: NDArray[Any]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(a.ravel()), a.shape[1])


def told(column: pa.ChunkedArray) -> Any:
    """A column in the form of the JSON reply."""
    kind, cells = column.type, column.combine_chunks()
    if isinstance(kind, pa.FixedShapeTensorType):
        return cells.to_numpy_ndarray().tolist()
    if not pa.types.is_struct(kind):
        return cells.to_pylist()
    if all(pa.types.is_fixed_size_list(field.type) for field in kind):
        return {field.name: cells.field(i).to_pylist() for i, field in enumerate(kind)}
    return [list(row.values()) for row in cells.to_pylist()]


def check_same(reply: httpx.Response, json: dict[str, Any]) -> None:
    """Check that an Arrow reply has the fields, order and values of the JSON reply, and its facts in both places."""
    table = table_of(reply)
    facts = {"model", "version", *FACTS}
    assert table.column_names == [name for name in json if name not in facts]
    for name in table.column_names:
        got = told(table[name])
        if json[name] is None:
            assert got == [None] * len(table)
        elif pa.types.is_fixed_size_list(table[name].type) or isinstance(table[name].type, pa.FixedShapeTensorType):
            np.testing.assert_array_equal(np.float32(got), np.float32(json[name]))
        else:
            assert got == json[name]
    said = {f"vae-{name}".replace("_", "-"): str(json[name]) for name in facts if json.get(name) is not None}
    assert {name: value for name, value in reply.headers.items() if name.startswith("vae-")} == said
    assert {key.decode(): value.decode() for key, value in table.schema.metadata.items()} == said


@pytest.mark.parametrize("kind", ["breast_cancer", "digits", "mixed", "several"])
async def test_json_npy_and_arrow_replies_agree_for_every_kind_of_model(
    kind: str, start: Any, models_dir: Path, request: pytest.FixtureRequest
) -> None:
    found = request.getfixturevalue(kind)
    root, name = (found.root, found.name) if isinstance(found, Published) else (models_dir, found.manifest.name)
    with Model.load(root / name, device="cpu") as model:
        spec, members = model.spec, model.manifest.members
        x = _rows(found, model)
    members_too = "?members=1" if members > 1 else ""
    async with start(root, default_model=name) as service:
        for path in ("/encode", "/elbo?features=true", "/elbo?num_samples=3"):
            bodies: list[tuple[bytes, dict[str, str]]] = [(npy(x), NPY), (stream(as_table(x, spec)), ARROW)]
            by_npy, by_arrow = [await service.http.post(path, content=body, headers=types) for body, types in bodies]
            json = (await service.http.post(path, content=npy(x), headers={**NPY, "accept": "*/*"})).json()
            check_same(by_arrow, json)
            assert set(records(by_npy).dtype.names or ()) <= set(json)
        body = {"n": 4, "seed": 5}
        sampled = await service.http.post("/sample", json=body, headers={"accept": TYPE})
        json = (await service.post("/sample", body)).json()
        check_same(sampled, json)
        codes = stream(table_of(sampled).select(["latents"]))
        by_arrow = await service.http.post(f"/decode{members_too}", content=codes, headers=ARROW)
        more = {"members": 1} if members > 1 else {}
        check_same(by_arrow, (await service.post("/decode", {"latents": json["latents"], **more})).json())


def _rows(found: Any, model: Model) -> NDArray[Any]:
    """Training rows of the model, or samples from it."""
    if isinstance(found, Published):
        return found.trained.rows.x[:9]
    drawn = model.sample(9, seed=1).samples
    return drawn if isinstance(model.spec, VectorSpec) else np.where(drawn < 128, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "colour",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())],
    ids=str,
)
async def test_columns_may_have_natural_types_and_null_is_a_missing_cell(on_mixed: Any, colour: pa.DataType) -> None:
    x = mixed_rows(20)
    want = (await on_mixed.post("/elbo", {"inputs": x.tolist()})).json()
    types = [pa.float64(), pa.decimal128(38, 20), pa.uint8(), pa.bool_(), colour]
    cells = {
        name: pa.array([None if v is None else bool(v) for v in values], kind)
        if pa.types.is_boolean(kind)
        else pa.array(list(values)).cast(kind)
        for name, values, kind in zip(NAMES, x.T, types, strict=True)
    }
    reply = await on_mixed.http.post("/elbo", content=stream(pa.table(cells)), headers=ARROW)
    np.testing.assert_allclose(table_of(reply)["elbo"].to_pylist(), want["elbo"], rtol=1e-6)
    assert table_of(reply)["observed_count"].to_pylist() == want["observed_count"]


async def test_a_stream_of_many_batches_is_read_like_one_batch(on_mixed: Any) -> None:
    table = pa.Table.from_pylist([dict(zip(NAMES, row, strict=True)) for row in mixed_rows(30).tolist()])
    at = table.column_names.index("colour")
    table = table.set_column(at, "colour", table["colour"].dictionary_encode())
    cut = pa.concat_tables([table.slice(i, 7).unify_dictionaries() for i in range(0, 30, 7)])
    whole, parts = [(await on_mixed.http.post("/elbo", content=stream(t), headers=ARROW)).content for t in (table, cut)]
    assert whole == parts


async def test_sampled_rows_can_be_sent_back_as_a_table(on_mixed: Any) -> None:
    body = {"n": 50, "seed": 2, "observe": True}
    drawn = table_of(await on_mixed.http.post("/sample", json=body, headers={"accept": TYPE}))
    again = pa.Table.from_struct_array(drawn["samples"])
    assert again.schema.field("colour").type == pa.dictionary(pa.int32(), pa.string())
    reply = table_of(await on_mixed.http.post("/elbo", content=stream(again), headers=ARROW))
    assert reply["observed_count"].to_pylist() == [5] * 50


async def test_the_cells_that_make_a_row_novel_are_a_list_of_names(on_mixed: Any) -> None:
    rows = pa.Table.from_pylist([ROW, {"load": 0.5, "stops": 3}, ROW], schema=pa.Table.from_pylist([ROW]).schema)
    reply = table_of(await on_mixed.http.post("/elbo?alpha=0.1&fdr=0.1", content=stream(rows), headers=ARROW))
    for name in ("p_value", "is_anomaly", "is_discovery"):
        assert reply[name].null_count == 0
    assert reply["is_anomaly"].to_pylist()[1]
    assert reply["novel"].to_pylist() == [[], ["size", "on", "colour"], []]


async def test_columns_keep_their_types_if_all_their_values_are_null(service: Any) -> None:
    names = [c.name for c in service.components.registry.find(None, None).model.spec.columns]
    rows = stream(pa.table({name: [1.0] for name in names}))
    kinds = [
        table_of(await service.http.post(f"/elbo{query}", content=rows, headers=ARROW)).schema.remove_metadata()
        for query in ("", "?seed=1")
    ]
    assert kinds[0] == kinds[1]


async def test_images_may_be_flat_lists_or_tensors(service: Any, digit_images: NDArray[np.uint8]) -> None:
    x = digit_images[:3]
    want = (await service.post("/models/digits/elbo", {"inputs": x.tolist()})).json()["elbo"]
    for pixels in (fixed(x.reshape(3, -1)), pa.FixedShapeTensorArray.from_numpy_ndarray(x)):
        body = stream(pa.table({"pixels": pixels}))
        assert (
            table_of(await service.http.post("/models/digits/elbo", content=body, headers=ARROW))["elbo"].to_pylist()
            == want
        )
    drawn = table_of(await service.http.post("/models/digits/sample", json={"n": 2}, headers={"accept": TYPE}))
    assert drawn["samples"].combine_chunks().to_numpy_ndarray().shape == (2, 8, 8, 1)


async def test_a_reader_without_tensors_sees_lists_and_their_shape(service: Any) -> None:
    reply = await service.http.post("/models/digits/sample", json={"n": 2}, headers={"accept": TYPE})
    known = "import pyarrow as pa, sys; pa.unregister_extension_type('arrow.fixed_shape_tensor')"
    shown = "f = pa.ipc.open_stream(sys.stdin.buffer).schema.field('samples'); print(f.type, f.metadata)"
    done = subprocess.run([sys.executable, "-c", f"{known}; {shown}"], input=reply.content, capture_output=True)
    assert done.stdout.startswith(b"fixed_size_list<"), done.stderr
    assert b'"shape":[8,8,1]' in done.stdout


async def test_without_pyarrow_a_table_is_refused_with_the_extra_to_install(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # makes `import pyarrow` fail
    reply = await service.http.post("/elbo", content=b"", headers={"content-type": TYPE})
    assert (reply.status_code, reply.json()["title"]) == (415, "Unsupported media type")
    assert reply.json()["detail"] == f"content-type '{TYPE}': this service cannot read it; install vaekit[arrow] first"
    reply = await service.http.post("/sample", json={"n": 1}, headers={"accept": TYPE})
    assert reply.status_code == 406
    assert reply.json()["detail"].endswith(f"; {TYPE} needs vaekit[arrow], which is not installed")
    reply = await service.http.post("/sample", json={"n": 1}, headers={"accept": f"{TYPE}, application/x-npy;q=0.5"})
    assert reply.headers["content-type"] == "application/x-npy"


async def test_sample_accepts_only_json(service: Any) -> None:
    reply = await service.http.post("/sample", content=stream(pa.table({"n": [1]})), headers=ARROW)
    assert (reply.status_code, reply.json()["detail"]) == (
        415,
        f"content-type '{TYPE}': /sample accepts application/json, text in UTF-8",
    )


BEFORE_AND_AFTER = f"""
import asyncio, sys
import httpx
from pathlib import Path
from vaekit_service.app import create_app
from vaekit_service.settings import load

async def main():
    app = create_app(load(models=Path("models"), device="cpu", log_level="error"))
    async with app.router.lifespan_context(app):
        await app.state.components.registry.settled.wait()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as http:
            for accept in ("application/json", "application/x-npy", "{TYPE}"):
                reply = await http.post("/models/digits/sample", json={{"n": 1}}, headers={{"accept": accept}})
                print(reply.status_code, "pyarrow" in sys.modules)

asyncio.run(main())
"""


def test_pyarrow_is_not_imported_before_the_first_table(models_dir: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BEFORE_AND_AFTER], capture_output=True, text=True, cwd=models_dir.parent, check=False
    )
    assert done.stdout.splitlines() == ["200 False", "200 False", "200 True"], done.stderr
