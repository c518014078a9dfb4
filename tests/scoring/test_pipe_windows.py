"""Time steps on a pipe are cut into windows as they arrive, and no window crosses an invalid row."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.kinds import Published, series_columns
from tests.scoring.test_pipe import piped
from vaekit import Model
from vaekit.errors import InputError
from vaekit.scoring import LocalScorer, Options, score_file
from vaekit.storage.paths import storage_path
from vaekit_training.config import make_config
from vaekit_training.data.load import of_array
from vaekit_training.run import train

FRAME = pd.DataFrame(series_columns(30, seed=14, gap=15)).assign(note=range(60))
RECORDS = json.loads(FRAME.to_json(orient="records"))


@pytest.fixture(scope="module")
def model(windowed: Published) -> Iterator[Model]:
    with Model.load(windowed.folder, device="cpu") as model:
        yield model


@pytest.fixture(scope="module")
def untimed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """A model of windows of 3 steps of one number, without times and series."""
    folder: Path = tmp_path_factory.mktemp("models")
    config = make_config({"name": "untimed", "data": {"source": "memory", "window": 3}, "likelihood": {"name": "auto"}})
    rows = of_array(np.random.default_rng(0).standard_normal((200, 2)), ["a", "b"], config=config.data)
    train(config, folder, device="cpu", rows=rows, draws_report=False)
    with Model.load(folder / "untimed", device="cpu") as model:
        yield model


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.mark.parametrize("size", [53, 10**6])
@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_steps_are_scored_as_they_arrive(model: Model, form: str, size: int) -> None:
    want = model.elbo(FRAME.drop(columns="note"))
    text = FRAME.to_csv(index=False) if form == "csv" else "".join(json.dumps(row) + "\n" for row in RECORDS)
    out, counts = piped(LocalScorer(model), *pieces(text, size), format=form)
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(out)))
        found = [float(row["elbo"] or "nan") for row in rows]
    else:
        rows = [json.loads(line) for line in out.splitlines()]
        found = [np.nan if row["elbo"] is None else row["elbo"] for row in rows]
    assert [int(row["note"]) for row in rows] == list(range(60))
    np.testing.assert_allclose(found, want.elbo, rtol=1e-5)
    assert counts.rows == 60
    assert counts.ignored.columns == ("note",)


def test_lists_are_one_series_and_rows_of_windows_are_windows(model: Model) -> None:
    own = FRAME[FRAME["machine"] == "p"][["load", "mode"]].iloc[:10].assign(temp=20.0)[["load", "temp", "mode"]]
    lists = own.to_numpy(dtype=object).tolist()
    want = model.elbo(lists).elbo
    windows = [[cell for step in lists[i : i + 4] for cell in step] for i in range(7)]
    for rows, expected in ((lists, want), (windows, want[3:])):
        out, _ = piped(LocalScorer(model), *(json.dumps(row) + "\n" for row in rows), format="ndjson")
        found = [json.loads(line)["elbo"] for line in out.splitlines()]
        np.testing.assert_allclose(np.array(found, dtype=float), expected, rtol=1e-5)


@pytest.mark.parametrize("together", [True, False])
def test_no_window_crosses_an_invalid_row(model: Model, untimed: Model, together: bool) -> None:
    lines = [f"{a},{b}\n" for a, b in np.random.default_rng(1).standard_normal((12, 2)).round(3)]
    lines[5] = "broken,1\n"
    out, _ = piped(LocalScorer(untimed), "a,b\n", *(["".join(lines)] if together else lines))
    empty = [row["elbo"] == "" for row in csv.DictReader(io.StringIO(out))]
    assert [i for i, lost in enumerate(empty) if lost] == [0, 1, 5, 6, 7]
    frame = FRAME.astype({"load": object})
    frame.loc[20, "load"] = "broken"
    text = frame.to_csv(index=False)
    out, counts = piped(LocalScorer(model), *([text] if together else text.splitlines(keepends=True)))
    rows = list(csv.DictReader(io.StringIO(out)))
    assert counts.invalid.total() == 1
    assert all(rows[i]["elbo"] == "" for i in (20, 22, 24, 26))
    assert rows[28]["elbo"] != ""


def test_objects_and_lists_are_not_mixed_on_a_pipe(model: Model) -> None:
    lists = [[row["load"], row["temp"], row["mode"]] for row in RECORDS]
    for first, other, said in ((RECORDS, lists, "an object by column name"), (lists, RECORDS, "a list")):
        rows = [*first[:20], other[20], *first[21:40]]
        out, counts = piped(LocalScorer(model), "".join(json.dumps(row) + "\n" for row in rows), format="ndjson")
        assert dict(counts.invalid) == {f"not {said} like the rows before": 1}
        found = [json.loads(line) for line in out.splitlines()]
        assert found[20]["error"]["row"] == 20
        assert found[22]["elbo"] is None  # no window crosses it
        assert found[-1]["elbo"] is not None


def test_a_quarantine_needs_times_which_show_the_gap_of_an_invalid_row(untimed: Model, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a,b\n" + "1,2\n" * 9, encoding="utf-8")
    options = Options(quarantine=storage_path(tmp_path / "bad.csv"))
    with pytest.raises(InputError, match=r"quarantine: .* or train with data.time, which shows gaps"):
        score_file(LocalScorer(untimed), tmp_path / "in.csv", tmp_path / "out.csv", options=options)
    score_file(LocalScorer(untimed), tmp_path / "in.csv", tmp_path / "out.csv")
    assert pd.read_csv(tmp_path / "out.csv")["elbo"].isna().tolist() == [True, True, *[False] * 7]


def test_steps_out_of_order_or_without_a_time_are_refused(model: Model) -> None:
    scorer = LocalScorer(model)
    with pytest.raises(InputError, match="the input lacks the column of times, 'ts'"):
        piped(scorer, FRAME.drop(columns="ts").to_csv(index=False))
    for size in (40, 10**6):
        with pytest.raises(InputError, match=r"row \d+, column 'ts': an earlier time than the row before of series"):
            piped(scorer, *pieces(FRAME.iloc[::-1].to_csv(index=False), size))
    lacking = [{name: cell for name, cell in row.items() if name != "ts" or i != 30} for i, row in enumerate(RECORDS)]
    with pytest.raises(InputError, match="row 30, column 'ts': missing value in the column of times"):
        piped(scorer, *(json.dumps(row) + "\n" for row in lacking), format="ndjson")
