"""A model of windows scores the time steps of series, each by the window that ends there."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tests.kinds import Published, series_columns
from vaekit import Model
from vaekit.errors import InputError

NEW = series_columns(40, seed=9, gap=20)  # two machines; ten minutes are lost in the middle
FRAME = pd.DataFrame(NEW)
LEVEL = {"day": 0.0, "night": 1.0}


@pytest.fixture(scope="module")
def model(windowed: Published) -> Iterator[Model]:
    with Model.load(windowed.folder, device="cpu") as model:
        yield model


def flat(machine: str, ends: list[int]) -> list[list[Any]]:
    """The windows that end at these steps of a machine, cell by cell from the columns."""
    own = [i for i, name in enumerate(NEW["machine"]) if name == machine]
    lags = (3, 2, 1, 0)
    return [[NEW[name][own[end - lag]] for lag in lags for name in ("load", "temp", "mode")] for end in ends]


def test_the_score_of_a_step_is_that_of_the_window_that_ends_there(model: Model) -> None:
    found = model.elbo(FRAME)
    assert len(found) == 80
    q = np.flatnonzero(FRAME["machine"] == "q")
    ends = [3, 4, 19, 23, 39]
    want = model.elbo(flat("q", ends))
    np.testing.assert_allclose(found.elbo[q[ends]], want.elbo, rtol=1e-6)
    np.testing.assert_array_equal(found.p_value[q[ends]], want.p_value)
    without = [0, 1, 2, 20, 21, 22]  # the first three steps, and those after the gap
    assert np.isnan(found.elbo[q]).nonzero()[0].tolist() == without
    assert np.isnan(found.p_value[q]).nonzero()[0].tolist() == without


FORMS = {
    "pandas": pd.DataFrame,
    "polars": lambda columns: pl.DataFrame({name: cells.tolist() for name, cells in columns.items()}),
    "pyarrow": lambda columns: pa.table(
        {name: pa.array(cells.tolist(), from_pandas=True) for name, cells in columns.items()}
    ),
    "records": lambda columns: pd.DataFrame(columns).to_dict("records"),
    "dates": lambda columns: pd.DataFrame(columns).assign(ts=lambda frame: pd.to_datetime(frame["ts"])),
    "index": lambda columns: pd.DataFrame(columns).set_index(["ts", "machine"]),
    "other order": lambda columns: pd.DataFrame(columns)[["mode", "temp", "ts", "load", "machine"]],
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_named_rows_has_the_same_scores(model: Model, form: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the columns of series and time are not ignored columns
        np.testing.assert_allclose(model.elbo(form(NEW)).elbo, model.elbo(FRAME).elbo, rtol=1e-6)


def test_rows_without_names_are_one_series_and_windows_have_three_axes(model: Model) -> None:
    own = FRAME[FRAME["machine"] == "p"].iloc[:12]
    array = np.stack([own["load"], own["temp"], own["mode"].map(LEVEL)], axis=1)
    want = model.elbo(own).elbo
    assert np.isnan(want).sum() == 3
    lists = own[["load", "temp", "mode"]].to_numpy(dtype=object).tolist()
    for steps in (array, lists):
        np.testing.assert_allclose(model.elbo(steps).elbo, want, rtol=1e-6)
    windows = np.lib.stride_tricks.sliding_window_view(array, 4, axis=0).transpose(0, 2, 1)  # (9, 4, 3)
    nested = [lists[i : i + 4] for i in range(9)]
    frame = pd.DataFrame(windows.reshape(9, 12), columns=model.spec.names)
    for mode in (n for n in frame if n.startswith("mode")):
        frame[mode] = frame[mode].map({0.0: "day", 1.0: "night"})
    for given in (windows, windows.reshape(9, 12), nested, frame):
        found = model.elbo(given)
        assert len(found) == 9
        np.testing.assert_allclose(found.elbo, want[3:], rtol=1e-6)


def test_blocks_of_steps_make_the_same_windows(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    want = model.explain(FRAME, top=2)
    monkeypatch.setattr("vaekit.tabular.series.Steps.blocks.__defaults__", (4 * 3 * 7,))
    found = model.explain(FRAME, top=2)
    np.testing.assert_allclose(found.elbo, want.elbo, rtol=1e-6)
    assert found.cells is not None
    assert want.cells is not None
    assert [[c["feature"] for c in cells] for cells in found.cells] == [
        [c["feature"] for c in cells] for cells in want.cells
    ]
    assert found.cells[0] == []
    assert found.cells[-1][0]["feature"] in model.spec.names


def test_other_results_have_one_entry_per_step_too(model: Model) -> None:
    assert model.encode(FRAME).mu.shape == (80, model.manifest.latent_dim)
    assert model.bound(FRAME).novel.shape == (80,)  # type: ignore[union-attr]
    assert model.surprise(FRAME).feature_log_likelihood.shape == (80, 12)  # type: ignore[union-attr]
    similar = model.similar(FRAME, top=2)
    assert similar.index[0].tolist() == [-1, -1]
    assert similar.weight[-1].sum() <= 1
    assert model.tolerated(FRAME, ignore={"load[t]": {"above": 1.0}}).shape == (80,)


def test_decoded_and_sampled_windows_have_an_axis_of_steps(model: Model) -> None:
    assert model.decode(np.zeros((2, model.manifest.latent_dim))).mean.shape == (2, 4, 3)
    assert model.sample(5, seed=0, observe=True).samples.shape == (5, 4, 3)
    np.testing.assert_array_equal(model.sample(5, seed=0).samples.reshape(5, 12), model.sample_rows(5, seed=0).samples)


def test_a_contextual_anomaly_has_a_small_p_value(model: Model) -> None:
    """A load of the middle of the range, which is usual by itself, where the load is always high."""
    frame = FRAME[FRAME["machine"] == "p"].iloc[:20].copy()
    frame["temp"] = frame["temp"].fillna(20.0)
    at = 15  # sin(2 pi 15 / 12) = 1
    frame.iloc[at, frame.columns.get_loc("load")] = -0.5
    p_value = model.elbo(frame).p_value
    assert p_value is not None
    assert p_value[at] == 1 / (model.calibration().n + 1)  # type: ignore[union-attr]
    (cell, *_) = model.explain(frame, top=1).cells[at]  # type: ignore[index]
    assert cell["feature"] == "load[t]"


def test_shapes_that_mean_nothing_are_refused(model: Model) -> None:
    accepted = r"expected time steps \(T, 3\) of 'load', 'temp', 'mode', or windows \(N, 12\) or \(N, 4, 3\)"
    for bad, said in (
        (np.zeros((5, 4)), rf"\(5, 4\); {accepted}"),
        (np.zeros((5, 3, 4)), rf"shape \(5, 3, 4\); {accepted}"),
        ([[[0.0] * 3] * 3], rf"window 0: {accepted}"),
        (np.zeros((3, 3)), "3 time steps, none of which can be scored: a window needs 4 consecutive time steps"),
        (FRAME.drop(columns="ts"), "the input lacks the column of times, 'ts'"),
        (FRAME.drop(columns="machine"), "the input lacks the column of series, 'machine'"),
        (FRAME.drop(columns="machine").to_dict("records"), "row 0: the input lacks the column of series"),
        (FRAME.iloc[::-1], "row 3, column 'ts': an earlier time than the row before of series 'p'"),
        (FRAME.iloc[[0, 0, 1]], "row 1, column 'ts': the same time as the row before of series 'p'"),
        (FRAME.assign(ts=1.0), "row 0, column 'ts': 1.0: not a date or an ISO 8601 time"),
        (FRAME.drop(columns="mode"), "the input lacks 1 of the model's columns: 'mode'"),
        (FRAME.assign(load="x"), "row 0, feature 'load': not a number"),
    ):
        with pytest.raises(InputError, match=said):
            model.elbo(bad)
    with pytest.raises(InputError, match=r"eps: \(N, K, Z\) is for windows"):
        model.elbo(FRAME, eps=np.zeros((80, 2, model.manifest.latent_dim)))


def test_strict_refuses_by_the_number_of_the_step(model: Model) -> None:
    frame = FRAME.copy()
    frame.loc[frame.index[:20], ["load", "temp"]] = np.nan
    with pytest.raises(InputError, match="row 0, feature 'load'"):
        model.elbo(frame, strict=True)
    with pytest.raises(InputError, match="unknown feature 'note'"):
        model.elbo(FRAME.assign(note=1), strict=True)
    with pytest.warns(UserWarning, match="are ignored: 'note'$"):
        model.elbo(FRAME.assign(note=1))
    all_missing = FRAME.assign(temp=np.nan)
    with pytest.raises(InputError, match="row 6: more missing cells than any training row"):
        model.elbo(all_missing, strict=True)
