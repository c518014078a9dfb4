"""`vae score`, `vae evaluate`, `vae explain` and `vae calibrate` with a model of windows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.kinds import Published, series_columns
from vaekit import Model
from vaekit.bundle.read import read_manifest
from vaekit.errors import InputError
from vaekit.scoring import LocalScorer, Options, score_file, score_folder, score_frame
from vaekit.scoring.batch.folder import local_engine
from vaekit.scoring.evaluation.calibrate import publish_calibration
from vaekit.scoring.evaluation.evaluate import evaluate_file
from vaekit.scoring.evaluation.explain_row import explain_row
from vaekit.storage.paths import storage_path

FRAME = pd.DataFrame(series_columns(60, seed=11, gap=30)).assign(note=range(120))


@pytest.fixture(scope="module")
def model(windowed: Published) -> Iterator[Model]:
    with Model.load(windowed.folder, device="cpu") as model:
        yield model


@pytest.fixture(scope="module")
def want(model: Model) -> Any:
    return model.bound(FRAME.drop(columns="note"))


def check(scored: pd.DataFrame, want: Any) -> None:
    np.testing.assert_array_equal(scored["note"].astype(int), range(120))
    np.testing.assert_allclose(scored["elbo"].to_numpy(float), want.elbo, rtol=1e-5)
    np.testing.assert_array_equal(scored["p_value"].to_numpy(float), want.p_value)


def written(path: Path, frame: pd.DataFrame = FRAME) -> Path:
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
        return path
    table = pa.Table.from_pandas(frame, preserve_index=False)
    if path.suffix == ".arrow":
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=7)
    else:
        pq.write_table(table, path, row_group_size=7)
    return path


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".arrow"])
@pytest.mark.parametrize("batch_rows", [1, 5, 1000])
def test_windows_cross_the_chunks_of_a_file(
    model: Model, want: Any, tmp_path: Path, ending: str, batch_rows: int
) -> None:
    out = tmp_path / "out.parquet"
    done = score_file(LocalScorer(model, explain=2), written(tmp_path / f"in{ending}"), out, batch_rows=batch_rows)
    scored = pq.read_table(out).to_pandas()
    check(scored, want)
    assert done.ignored == ("note",)
    assert (done.rows, done.tally.without_window) == (108, 12)
    assert done.drift is None
    table = pq.read_table(out)
    assert table["is_anomaly"].null_count == table["elbo"].null_count == table["odd_1"].null_count == 12
    assert scored["odd_1"].dropna().isin(model.spec.names).all()


def test_windows_cross_the_files_of_a_folder(model: Model, want: Any, tmp_path: Path) -> None:
    folder = tmp_path / "days"
    folder.mkdir()
    for i, start in enumerate(range(0, 120, 25)):
        written(folder / f"{i}.parquet", FRAME.iloc[start : start + 25])
    score_file(LocalScorer(model), folder, tmp_path / "out.parquet")
    check(pq.read_table(tmp_path / "out.parquet").to_pandas(), want)
    done = score_folder(LocalScorer(model), folder, tmp_path / "parts")
    check(pq.read_table(tmp_path / "parts").to_pandas(), want)
    assert done.tally.without_window == 12


def test_a_resumed_run_reads_the_steps_before_the_missing_parts(model: Model, want: Any, tmp_path: Path) -> None:
    folder, out = tmp_path / "days", tmp_path / "parts"
    folder.mkdir()
    for i, start in enumerate(range(0, 120, 25)):
        written(folder / f"{i}.parquet", FRAME.iloc[start : start + 25])
    scorer = LocalScorer(model)
    done = score_folder(scorer, folder, out)
    for number in (1, 3):
        (out / f"part-0000{number}.parquet").unlink()
        (out / "_parts" / f"0000{number}.json").unlink()
    again = score_folder(scorer, folder, out, resume=True)
    check(pq.read_table(out).to_pandas(), want)
    assert again.before.parts == 3
    assert {**again.to_json(), "seconds": 0, "rows_per_second": 0, "before": 0} == {
        **done.to_json(),
        "seconds": 0,
        "rows_per_second": 0,
        "before": 0,
    }


def test_an_engine_that_scores_parts_in_any_order_is_refused(model: Model, tmp_path: Path) -> None:
    path, scorer = written(tmp_path / "in.parquet"), LocalScorer(model)
    with pytest.raises(InputError, match="windows of a series reach across parts, which this engine scores in any"):
        score_folder(scorer, path, tmp_path / "out", engine=local_engine(scorer))


def test_a_discovery_is_null_where_no_window_ends(model: Model, tmp_path: Path) -> None:
    score_file(LocalScorer(model), written(tmp_path / "in.csv"), tmp_path / "o.parquet", options=Options(fdr=0.2))
    assert pq.read_table(tmp_path / "o.parquet")["is_discovery"].null_count == 12


def test_no_window_reaches_across_a_quarantined_row(model: Model, tmp_path: Path) -> None:
    frame = FRAME.astype({"load": object})
    frame.loc[50, "load"] = "broken"
    options = Options(quarantine=storage_path(tmp_path / "bad.csv"))
    done = score_file(LocalScorer(model), written(tmp_path / "in.csv", frame), tmp_path / "o.parquet", options=options)
    scored = pq.read_table(tmp_path / "o.parquet").to_pandas().astype({"note": int}).set_index("note")
    assert done.quarantined == 1
    assert scored["elbo"].isna()[[52, 54, 56]].all()  # the next three of this machine
    assert not scored["elbo"].isna()[[49, 51, 53, 58]].any()


def test_rows_that_are_no_time_steps_are_refused_with_their_number(model: Model, tmp_path: Path) -> None:
    scorer, out = LocalScorer(model), tmp_path / "o.parquet"
    for frame, said in (
        (FRAME.drop(columns="ts"), "the input lacks the column of times, 'ts'"),
        (
            pd.concat([FRAME, FRAME.iloc[[3]]]),
            "row 120, column 'ts': an earlier time than the row before of series 'q'",
        ),
        (FRAME.assign(ts="noon"), "row 0, column 'ts': 'noon': not a date or an ISO 8601 time"),
        (FRAME.assign(machine=None), "row 0, column 'machine': missing value in the column of series"),
    ):
        with pytest.raises(InputError, match=said):
            score_file(scorer, written(tmp_path / "in.csv", frame), out, batch_rows=50)
    with pytest.raises(InputError, match="row 6: more missing cells than any training row"):
        score_file(
            scorer,
            written(tmp_path / "in.csv", FRAME.drop(columns="note").assign(temp=None)),
            out,
            options=Options(strict=True),
        )
    assert not out.exists()


def test_arrays_are_one_series_or_windows(model: Model, tmp_path: Path) -> None:
    steps = np.random.default_rng(0).standard_normal((30, 3)) * [1, 1, 0] + [0, 20, 1]
    want = model.bound(steps).elbo
    windows = np.lib.stride_tricks.sliding_window_view(steps, 4, axis=0).transpose(0, 2, 1)
    for array, expected in ((steps, want), (windows, want[3:]), (windows.reshape(27, 12), want[3:])):
        np.save(tmp_path / "in.npy", array)
        score_file(LocalScorer(model), tmp_path / "in.npy", tmp_path / "o.parquet", batch_rows=8)
        found = pq.read_table(tmp_path / "o.parquet")["elbo"].to_numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.save(tmp_path / "in.npy", np.zeros((5, 4)))
    with pytest.raises(InputError, match=r"shape \(5, 4\), expected time steps \(T, 3\)"):
        score_file(LocalScorer(model), tmp_path / "in.npy", tmp_path / "o.parquet")


def test_a_frame_gets_a_score_for_each_time_step(model: Model, want: Any) -> None:
    for frame in (FRAME, pl.from_pandas(FRAME)):
        scored = score_frame(LocalScorer(model), frame)
        check(scored if isinstance(scored, pd.DataFrame) else scored.to_pandas(), want)


def test_a_frame_with_times_in_its_index_keeps_it(model: Model, want: Any) -> None:
    frame = FRAME.set_index(["machine", "ts"])
    scored = score_frame(LocalScorer(model), frame)
    pd.testing.assert_index_equal(scored.index, frame.index)
    assert list(scored.columns[: len(frame.columns)]) == list(frame.columns)
    check(scored, want)


def test_the_windows_of_a_frame_are_made_in_blocks(model: Model, want: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = score_frame(LocalScorer(model, explain=1), FRAME)
    monkeypatch.setattr("vaekit.tabular.series.Steps.blocks.__defaults__", (4 * 3 * 7,))
    sizes = []

    class Watched(LocalScorer):
        def score(self, x: Any) -> Any:
            sizes.append(len(x))
            return super().score(x)

    found = score_frame(Watched(model, explain=1), FRAME)
    check(found, want)
    pd.testing.assert_frame_equal(found, whole, rtol=1e-5)
    assert max(sizes) <= 7
    assert len(found) == len(FRAME)
    with pytest.raises(InputError, match="6 time steps, none of which can be scored"):
        score_frame(LocalScorer(model), FRAME.iloc[:6])


def test_an_evaluation_compares_the_label_of_a_step_with_its_score(model: Model, want: Any, tmp_path: Path) -> None:
    label = np.zeros(120, dtype=int)
    label[[40, 90]] = 1
    path = written(tmp_path / "in.csv", FRAME.assign(odd=label))
    found = evaluate_file(model, path, num_samples=[2], label="odd", batch_rows=13)
    assert {name: len(bounds) for name, bounds in found.groups.items()} == {"normal": 106, "anomalies": 2}
    np.testing.assert_allclose(found.groups["anomalies"].elbo, want.elbo[[40, 90]], rtol=1e-3)
    with pytest.raises(InputError, match="no rows to score, expected at least 1; a window needs 4 consecutive time"):
        evaluate_file(model, written(tmp_path / "in.csv", FRAME.iloc[:6]), num_samples=[2])


def test_a_row_is_explained_by_the_window_that_ends_there(model: Model, want: Any, tmp_path: Path) -> None:
    path = written(tmp_path / "in.csv")
    found = explain_row(model, path, 41, top=3)
    assert found.score == pytest.approx(-want.elbo[41], rel=1e-5)
    assert found.p_value == want.p_value[41]
    assert {cell["feature"] for cell in found.cells} <= set(model.spec.names)
    with pytest.raises(InputError, match="row 5: no window ends at this time step: a window needs 4 consecutive"):
        explain_row(model, path, 5, top=3)


def test_a_calibration_uses_windows_that_do_not_overlap_and_have_no_anomaly(
    windowed: Published, tmp_path: Path
) -> None:
    shutil.copytree(windowed.folder, tmp_path / "models" / "windowed")
    frame = pd.DataFrame(series_columns(400, seed=3, gap=None))
    label = np.zeros(800, dtype=int)
    label[100:200] = 1
    path = written(tmp_path / "in.csv", frame.assign(odd=label))
    with Model.load(tmp_path / "models" / "windowed", device="cpu") as model:
        manifest = publish_calibration(model, path, label="odd", batch_rows=37)
    assert manifest.calibration is not None
    n = manifest.calibration.entries[0].n
    assert 700 / (4 + 1.5) * 0.85 < n < 700 / 4  # 4 to 7 steps from one window to the next
    assert f"{n} normal windows that do not overlap of in.csv" in manifest.calibration.assumption
    assert read_manifest(tmp_path / "models" / "windowed" / "2").input == manifest.input


def test_the_command_line_walks_from_a_csv_file_to_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from vaekit.cli import app

    monkeypatch.chdir(tmp_path)
    label = np.r_[np.zeros(1300, dtype=int), 1, np.zeros(99, dtype=int)]
    written(tmp_path / "in.csv", pd.DataFrame(series_columns(700, seed=5)).assign(odd=label))
    written(tmp_path / "new.csv", pd.DataFrame(series_columns(700, seed=6)).assign(odd=label))
    settings = {"data.window": 4, "data.time": "ts", "data.series_column": "machine", "data.label": "odd"}
    each = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    run = CliRunner().invoke
    trained = run(app, ["train", "in.csv", *each, "--device", "cpu"])
    assert trained.exit_code == 0, trained.output
    assert "windows of 4 steps from 1400 time steps of 2 series" in trained.output.replace("\n", " ")
    scored = run(app, ["score", "in", "in.csv", "out.csv", "--summary", "run.json", "--device", "cpu"])
    assert scored.exit_code == 0, scored.output
    assert "12 time steps have no score: no window ends there" in scored.output
    assert len(pd.read_csv("out.csv")) == 1400
    assert json.loads(Path("run.json").read_text(encoding="utf-8"))["without_window"] == 12
    for command in (
        ["explain", "in", "in.csv", "--row", "640"],
        ["evaluate", "in", "in.csv", "--label", "odd", "--num-samples", "2"],
        ["calibrate", "in", "new.csv", "--label", "odd"],
        ["upgrade", "in"],
    ):
        done = run(app, command)
        assert done.exit_code == 0, done.output
