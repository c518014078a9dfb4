"""Scores come back as the frame or table that was given, with the columns that `vae score` writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import parquet

from vaekit import AsyncClient, Client
from vaekit.errors import InputError

NAME = "breast-cancer"


def vae(*words: str | Path) -> None:
    command = [sys.executable, "-c", "from vaekit.cli import main; main()", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def frame(breast_cancer) -> pd.DataFrame:
    """Three rows with a text index and one column that the model does not have."""
    names = breast_cancer.manifest.input.names
    rows = np.random.default_rng(0).uniform(1, 9, (3, len(names)))
    return pd.DataFrame(rows, columns=names, index=["a", "b", "c"]).assign(patient=["x", None, "z"])


MAKERS: dict[str, Any] = {
    "pandas": lambda frame: frame,
    "polars": pl.from_pandas,
    "pyarrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "batch": lambda frame: pa.RecordBatch.from_pandas(frame, preserve_index=False),
    "dicts": lambda frame: frame.to_dict("records"),
}
READERS: dict[str, Any] = {"polars": pl.DataFrame.to_pandas, "dicts": pd.DataFrame, "pandas": lambda frame: frame}


@pytest.mark.parametrize("kind", MAKERS)
def test_the_result_is_of_the_given_type_with_the_scores_appended(url, frame, kind):
    given = MAKERS[kind](frame)
    with Client(url) as client:
        scored = client.score(given, model=NAME, explain=2, fdr=0.2)
        want = client.elbo(given, model=NAME, explain=2, fdr=0.2)
    assert type(scored) is type(given)
    if kind == "pandas":
        assert list(scored.index) == ["a", "b", "c"]
    table = READERS.get(kind, lambda table: table.to_pandas())(scored)
    assert list(table)[: frame.shape[1]] == list(frame)
    np.testing.assert_allclose(table["score"], want.score)
    np.testing.assert_array_equal(table["is_anomaly"], want.is_anomaly)
    assert table["odd_1"].tolist() == [cells[0]["feature"] for cells in want.cells]
    assert table["patient"].tolist()[0] == "x"


@pytest.mark.parametrize("kind", MAKERS)
def test_nothing_of_the_given_table_is_changed(url, frame, kind):
    given = MAKERS[kind](frame)
    before = frame.copy(deep=True)
    with Client(url) as client:
        client.score(given, model=NAME)
    pd.testing.assert_frame_equal(frame, before)
    assert "score" not in (
        given[0] if kind == "dicts" else getattr(given, "column_names", getattr(given, "columns", ()))
    )


def test_the_columns_are_those_of_vae_score(url, frame, tmp_path, models_dir):
    file, out = tmp_path / "rows.parquet", tmp_path / "scored.parquet"
    frame.to_parquet(file, index=False)
    vae("score", NAME, file, out, "--models", models_dir, "--explain", "2", "--fdr", "0.2")
    with Client(url) as client:
        scored = client.score(parquet.read_table(file), model=NAME, explain=2, fdr=0.2)
    want = parquet.read_table(out)
    assert scored.column_names == want.column_names
    assert scored.schema.types == want.schema.types
    for name in want.column_names:
        if want.schema.field(name).type == pa.float64():
            np.testing.assert_allclose(scored[name].to_numpy(), want[name].to_numpy(), rtol=1e-5, err_msg=name)
            assert scored[name].null_count == want[name].null_count, name
        else:
            assert scored[name].to_pylist() == want[name].to_pylist(), name


def test_a_column_that_the_table_has_already_gets_a_prefix(url, frame):
    with Client(url) as client:
        scored = client.score(frame.assign(score=7.0), model=NAME)
    assert set(scored["score"]) == {7.0}
    assert np.isfinite(scored["vae_score"]).all()


def test_without_a_calibration_for_the_draws_verdicts_are_missing_in_every_type(url, frame):
    with Client(url) as client:
        for kind, make in MAKERS.items():
            scored = client.score(make(frame), model=NAME, num_samples=3)
            cells = [row["is_anomaly"] for row in scored] if kind == "dicts" else list(scored["is_anomaly"])
            assert [getattr(cell, "as_py", lambda cell=cell: cell)() for cell in cells] == [None, None, None], kind
            if kind in ("polars", "pyarrow", "batch"):
                assert str(pa.table(scored).schema.field("is_anomaly").type) == "bool"


@pytest.mark.anyio
async def test_the_asynchronous_client_returns_a_frame_too(url, frame):
    async with AsyncClient(url) as client:
        scored = await client.score(frame, model=NAME)
    assert list(scored.index) == ["a", "b", "c"]


@pytest.mark.parametrize("given", [np.ones((2, 30)), [[1.0] * 30], [b"png"], "rows.csv"])
def test_anything_else_is_refused_before_it_is_sent(given):
    def fail(_: httpx.Request) -> httpx.Response:
        raise AssertionError("sent")

    with (
        Client("http://host", transport=httpx.MockTransport(fail)) as client,
        pytest.raises(InputError, match="expected a frame"),
    ):
        client.score(given)
