"""`vae score --explain`: the most anomalous cells of every row as columns, by a local model and by a service."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tests.kinds import NAMES, mixed_rows
from tests.live import serving
from vaekit.cli import app
from vaekit.client import Client, RequestRefused
from vaekit.errors import InputError
from vaekit.runtime import Model
from vaekit.scoring import LocalScorer, RemoteScorer
from vaekit.tabular import encode
from vaekit.tabular.explained_cells import named


def vae(*words):
    return CliRunner().invoke(app, ["score", *map(str, words)])


def mixed_csv(path, rows):
    path.write_text("\n".join([",".join(NAMES), *(",".join("" if v is None else f'"{v}"' for v in r) for r in rows)]))


def alike(here, there):
    """Check that two tables are equal, with a tolerance for numbers and for expected values that are numbers."""
    assert here.schema == there.schema
    for name in here.column_names:
        mine, its = here[name].to_pylist(), there[name].to_pylist()
        if name.endswith("_expected"):
            mine, its = ([_number(cell) for cell in cells] for cells in (mine, its))
        assert its == [pytest.approx(cell, rel=1e-4, abs=1e-4) if isinstance(cell, float) else cell for cell in mine]


def _number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return text


def test_every_row_has_the_explanation_of_the_model(mixed, tmp_path):
    rows, path, out = mixed_rows(30, seed=3), tmp_path / "rows.csv", tmp_path / "out.parquet"
    mixed_csv(path, rows)
    done = vae(mixed.folder, path, out, "--explain", "3", "--batch-rows", "7")
    assert done.exit_code == 0, done.output
    table = pq.read_table(out).to_pylist()
    with Model.load(mixed.folder, device="cpu") as model:
        found = model.explain(rows, top=3)
        explained, plain = named(found.explanation, model.spec), LocalScorer(model).score(encode(rows, model.spec))
    for row, cells, kl in zip(table, explained, found.kl_p_value, strict=True):
        assert row["kl_p_value"] == pytest.approx(kl)
        for i in range(3):
            cell = (
                cells[i] if i < len(cells) else dict.fromkeys(("feature", "relief", "p_value", "value", "low", "high"))
            )
            assert [row[f"odd_{i + 1}_{end}"] for end in ("low", "high")] == [cell["low"], cell["high"]]
            assert _number(row[f"odd_{i + 1}_value"]) == cell["value"]
            assert row[f"odd_{i + 1}"] == cell["feature"]
            assert row[f"odd_{i + 1}_p_value"] == pytest.approx(cell["p_value"])
            assert row[f"odd_{i + 1}_relief"] == pytest.approx(cell["relief"], rel=1e-4, abs=1e-4)
            if row[f"odd_{i + 1}"] == "colour":
                assert row[f"odd_{i + 1}_expected"] == cell["expected"]
    np.testing.assert_allclose([row["score"] for row in table], plain.score, rtol=1e-5, atol=1e-5)


def test_scoring_by_a_service_writes_the_same_file_and_summary(cancer_csv, models_dir, url, tmp_path):
    tables, summaries = [], []
    for name, where in (("here", ["--models", models_dir]), ("there", ["--url", url])):
        out, summary = tmp_path / f"{name}.parquet", tmp_path / f"{name}.json"
        done = vae("breast-cancer", cancer_csv, out, "--explain", "3", "--summary", summary, *where)
        assert done.exit_code == 0, done.output
        tables.append(pq.read_table(out))
        summaries.append(json.loads(summary.read_text()))
    alike(*tables)
    assert tables[0].column_names[-8:-4] == ["odd_3", "odd_3_relief", "odd_3_p_value", "odd_3_expected"]
    assert tables[0].column_names[-4:] == ["odd_3_value", "odd_3_low", "odd_3_high", "kl_p_value"]
    assert tables[0]["odd_1"].null_count == 0
    for name in ("rows", "anomalies", "share", "p_values"):
        assert summaries[0][name] == summaries[1][name]
    assert [odd["row"] for odd in summaries[0]["top"]] == [odd["row"] for odd in summaries[1]["top"]]


def test_scoring_by_a_service_names_levels_and_missing_cells_the_same_way(mixed, tmp_path):
    mixed_csv(tmp_path / "rows.csv", mixed_rows(30, seed=3))
    with serving(mixed.root) as url:
        for name, where in (("here", ["--models", mixed.root]), ("there", ["--url", url])):
            done = vae(mixed.name, tmp_path / "rows.csv", tmp_path / f"{name}.parquet", "--explain", "5", *where)
            assert done.exit_code == 0, done.output
    here, there = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("here", "there"))
    alike(here, there)
    assert "colour" in here["odd_1"].to_pylist()
    assert here["odd_5"].null_count > 0  # rows with missing cells have fewer than five


def test_an_explanation_request_that_is_too_large_for_the_service_is_halved(breast_cancer, benign_rows, models_dir):
    some, work = benign_rows[:40], 7 * 512 * 30  # seven rows of 3 explained cells
    with serving(models_dir, max_work=work) as small, Client(small) as client:
        got = RemoteScorer(client, "breast-cancer", explain=3).score(some)
        with pytest.raises(RequestRefused):
            client.elbo(some[:8], explain=3, model="breast-cancer")
    want = LocalScorer(breast_cancer, explain=3).score(some)
    np.testing.assert_array_equal(got.explanation["feature"], want.explanation["feature"])
    np.testing.assert_allclose(got.explanation["relief"], want.explanation["relief"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(got.kl_p_value, want.kl_p_value)


def test_invalid_explanation_options_are_refused_by_the_model_and_by_the_service(breast_cancer, benign_rows, url):
    for asked, message in (
        ({"explain": 31}, "explain: 31 is not between 1 and 30"),
        ({"explain": 2, "num_samples": 8}, "explain: needs the 16 default draws"),
    ):
        with pytest.raises(InputError, match=message):
            LocalScorer(breast_cancer, **asked)
        with Client(url) as client, pytest.raises(RequestRefused, match=message):
            RemoteScorer(client, "breast-cancer", **asked).score(benign_rows[:2])
