"""data.missing_values: numbers and texts that stand for a missing cell, at training and wherever a model scores."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.live import serving
from vaekit import Client, Detector, Model
from vaekit.bundle import Manifest, VectorSpec
from vaekit.errors import ConfigError, InputError
from vaekit.scoring import LocalScorer, score_file
from vaekit_training.config import make_config, parse_overrides
from vaekit_training.data.findings import findings
from vaekit_training.data.load import load
from vaekit_training.data.rows import Rows
from vaekit_training.data.split import split
from vaekit_training.infer import infer, overrides_beside
from vaekit_training.run import train

VALUES = [-999, "?", 1e20]
SETTINGS = [f"data.missing_values={VALUES}", "training.steps=20", "network.hidden=[8]", "network.members=1"]
N = 240


def frame(n: int = N, seed: int = 0, *, gaps: bool = True) -> pd.DataFrame:
    """Columns of numbers and text with -999, '?' and 1e20; without gaps, the same cells are missing."""
    rng = np.random.default_rng(seed)
    load_ = rng.standard_normal(n)
    there = pd.DataFrame(
        {
            "load": load_,
            "heat": 20 + load_ + 0.1 * rng.standard_normal(n),
            "count": rng.integers(0, 9, n),
            "site": rng.choice(["north", "south", "west"], n),
        }
    )
    where = {"load": (-999.0, 3), "heat": (1e20, 5), "count": (-999, 7), "site": ("?", 11)}
    for d, (name, (value, every)) in enumerate(where.items()):
        at = np.arange(d, n, every * 4)
        if gaps:
            there.loc[at, name] = value
        else:
            there[name] = there[name].astype(object if name == "site" else float)
            there.loc[at, name] = None if name == "site" else np.nan
    return there


def rows_of(path: Path, *more: str) -> Rows:
    settings = [*SETTINGS, *more]
    asked = parse_overrides(settings)
    tree, _ = infer(str(path), asked)
    config = make_config(tree, overrides_beside(asked, settings))
    assert config.data.missing == "marginalise"
    return load(config.data, config.likelihood)


@pytest.mark.parametrize("form", ["csv", "parquet", "stream", "float32"])
def test_cells_with_these_values_are_missing_in_training(tmp_path: Path, form: str) -> None:
    with_gaps, without = frame(), frame(gaps=False)
    more = ["data.read=stream"] if form == "stream" else []
    if form == "csv":
        path = tmp_path / "rows.csv"
        with_gaps.to_csv(path, index=False)
    else:
        path = tmp_path / "rows.parquet"
        kinds = {"load": np.float32, "heat": np.float32} if form == "float32" else {}
        with_gaps.astype(kinds).to_parquet(path)
    found = rows_of(path, *more)
    assert found.may_be_missing == (True,) * 4
    assert found.levels[3] == ("north", "south", "west")
    assert found.kinds == ("real", "real", "real", "category")
    if form != "stream":
        np.testing.assert_array_equal(np.isnan(found.x), without.isna().to_numpy())
    assert np.isnan(found.x).sum() == without.isna().to_numpy().sum()


def test_a_mapped_array_has_missing_cells_and_images_have_none(tmp_path: Path) -> None:
    x = frame().drop(columns="site").to_numpy(dtype=np.float64)
    np.save(tmp_path / "rows.npy", x)
    found = rows_of(tmp_path / "rows.npy", "data.read=map")
    np.testing.assert_array_equal(np.isnan(found.x[:]), frame(gaps=False).drop(columns="site").isna().to_numpy())
    np.save(tmp_path / "images.npy", np.zeros((30, 4, 4), dtype=np.uint8))
    with pytest.raises(InputError, match=r"data.missing_values is for columns, but these are images"):
        load(make_config({"name": "a", "data": {"source": str(tmp_path / "images.npy"), "missing_values": [0]}}).data)


def test_the_setting_that_a_remark_names_ends_the_remark() -> None:
    data = frame().drop(columns=["site", "count"])

    def said(**more: Any) -> list[str]:
        from vaekit_training.data.load import of_array

        config = make_config({"name": "a", "data": {"source": "memory", "missing": "marginalise", **more}}).data
        rows = of_array(data.to_numpy(), list(data.columns), config=config)
        return findings(rows, split(rows, config, 0))

    first, second = said()
    assert "set data.missing_values = [-999]" in first
    assert "set data.missing_values = [1e+20]" in second
    assert said(missing_values=[-999, 1e20]) == []


def test_a_text_among_numbers_is_refused_with_the_setting_that_reads_it(tmp_path: Path) -> None:
    data = frame(gaps=False).astype({"load": object})
    data.loc[[4, 9], "load"] = "?"
    data.to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(InputError, match=r"""use --set data.missing_values="\['\?'\]" if the value is missing"""):
        infer(str(tmp_path / "rows.csv"))
    assert rows_of(tmp_path / "rows.csv").kinds[0] == "real"


def test_blanks_around_a_text_do_not_count() -> None:
    data = make_config({"name": "m", "data": {"source": "rows.csv", "missing_values": [" ? ", -999]}}).data
    assert data.missing_values == ("?", -999)


@pytest.mark.parametrize("value", ["true", "[[1]]", "5", "[nan]"])
def test_other_values_are_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.missing_values"):
        make_config({"name": "a", "data": {"source": "memory"}}, [f"data.missing_values={value}"])


@dataclass(frozen=True)
class Trained:
    models: Path
    model: Model
    url: str


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp("gaps")
    frame().to_parquet(folder / "gaps.parquet")
    asked = parse_overrides(SETTINGS)
    tree, _ = infer(str(folder / "gaps.parquet"), asked)
    with patch("vaekit_training.publish.report.render", lambda *_: lambda _: {}):
        train(make_config(tree, overrides_beside(asked, SETTINGS)), folder / "models", device="cpu")
    with Model.load(folder / "models" / "gaps", device="cpu") as model, serving(folder / "models") as url:
        yield Trained(folder / "models", model, url)


def test_the_manifest_has_the_values_only_if_there_are_any(trained: Trained) -> None:
    spec = trained.model.spec
    assert isinstance(spec, VectorSpec)
    assert {column.missing_values for column in spec.columns} == {(-999.0, "?", 1e20)}
    written = trained.model.manifest.model_dump_json()
    assert Manifest.model_validate_json(written) == trained.model.manifest
    plain = spec.columns[0].model_copy(update={"missing_values": ()})
    assert "missing_values" not in plain.model_dump_json()


FORMS: dict[str, Any] = {
    "pandas": lambda data: data,
    "records": lambda data: data.to_dict("records"),
    "lists": lambda data: data.to_numpy(dtype=object).tolist(),
    "polars": pl.from_pandas,
    "arrow": lambda data: pa.Table.from_pandas(data, preserve_index=False),
    "dictionary": lambda data: pa.Table.from_pandas(data.astype({"site": "category"}), preserve_index=False),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_rows_with_these_values_have_the_scores_of_rows_with_missing_cells(trained: Trained, form: Any) -> None:
    want = trained.model.elbo(frame(40, 1, gaps=False))
    assert len(set(want.observed_count.tolist())) > 1
    rows = form(frame(40, 1))
    found = trained.model.elbo(rows)
    np.testing.assert_array_equal(found.observed_count, want.observed_count)
    np.testing.assert_array_equal(found.p_value, want.p_value)
    np.testing.assert_array_equal(Detector.of(trained.model, alpha=0.1).p_value(rows), want.p_value)
    with Client(trained.url) as client:
        np.testing.assert_array_equal(client.elbo(rows).p_value, want.p_value)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_vae_score_reads_these_values_as_missing_and_writes_what_it_read(
    trained: Trained, tmp_path: Path, ending: str
) -> None:
    path, out = tmp_path / f"new.{ending}", tmp_path / "out.parquet"
    data = frame(40, 1)
    data.to_csv(path, index=False) if ending == "csv" else data.to_parquet(path)
    score_file(LocalScorer(trained.model, alpha=0.1), path, out)
    written = pq.read_table(out)
    want = trained.model.elbo(frame(40, 1, gaps=False))
    np.testing.assert_array_equal(written["p_value"].to_numpy(), want.p_value)
    np.testing.assert_array_equal(written["load"].to_numpy(), data["load"])


def test_arrays_and_bodies_of_numbers_follow_the_rule(tmp_path: Path) -> None:
    x = frame().drop(columns="site").to_numpy(dtype=np.float64)
    settings = {"data.missing_values": [-999, 1e20], "training.steps": 20, "network.members": 1}
    detector = Detector(alpha=0.1, settings=settings).fit(x)
    complete = Detector(alpha=0.1, settings=settings).fit(frame(gaps=False).dropna()[["load", "heat"]])
    with pytest.raises(InputError, match=r"^row 1, feature 'heat': missing: -999$"):
        complete.model_.elbo([[1.0, 20.0], [1.0, -999.0]], strict=True)
    new, gaps = frame(40, 1).drop(columns="site").to_numpy(np.float64), frame(40, 1, gaps=False).drop(columns="site")
    want = detector.p_value(gaps.to_numpy(np.float64))
    kept = new.copy()
    np.testing.assert_array_equal(detector.p_value(new), want)
    np.testing.assert_array_equal(new, kept)  # the caller's array is not written to
    detector.publish(tmp_path / "models" / "numbers")
    body = io.BytesIO()
    np.save(body, new.astype(np.float32))
    with serving(tmp_path / "models") as url:
        replies = [
            httpx.post(f"{url}/elbo", json={"inputs": new.tolist()}),
            httpx.post(f"{url}/elbo", content=body.getvalue(), headers={"content-type": "application/x-npy"}),
        ]
    by_json = json.loads(replies[0].text)["p_value"]
    np.testing.assert_array_equal(by_json, want)
    assert replies[1].status_code == 200
