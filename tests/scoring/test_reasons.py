"""`vae score --explain`: the oddest cells of every row as columns."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tests.kinds import NAMES, mixed_rows
from vaekit.cli import app
from vaekit.errors import InputError
from vaekit.runtime import Model
from vaekit.runtime.cells import named
from vaekit.scoring import ExplainingScorer, LocalScorer


def vae(*words):
    return CliRunner().invoke(app, ["score", *map(str, words)])


def test_every_row_has_the_cells_that_the_model_explains(mixed, tmp_path):
    rows, path, out = mixed_rows(30, seed=3), tmp_path / "rows.csv", tmp_path / "out.parquet"
    path.write_text("\n".join([",".join(NAMES), *(",".join("" if v is None else f'"{v}"' for v in r) for r in rows)]))
    done = vae(mixed.folder, path, out, "--explain", "3", "--batch-rows", "7")
    assert done.exit_code == 0, done.output
    table = pq.read_table(out).to_pylist()
    with Model.load(mixed.folder, device="cpu") as model:
        found = model.explain(rows, top=3)
        told, plain = named(found.explanation, model.spec), LocalScorer(model).score(rows)
    for row, cells, kl in zip(table, told, found.kl_p_value, strict=True):
        assert row["kl_p_value"] == pytest.approx(kl)
        for i in range(3):
            cell = cells[i] if i < len(cells) else dict.fromkeys(("feature", "relief", "p_value"))
            assert row[f"odd_{i + 1}"] == cell["feature"]
            assert row[f"odd_{i + 1}_p_value"] == pytest.approx(cell["p_value"])
            assert row[f"odd_{i + 1}_relief"] == pytest.approx(cell["relief"], rel=1e-4, abs=1e-4)
            if row[f"odd_{i + 1}"] == "colour":
                assert row[f"odd_{i + 1}_expected"] == cell["expected"]
    np.testing.assert_allclose([row["score"] for row in table], plain.score, rtol=1e-5, atol=1e-5)


def test_what_cannot_explain_is_refused(breast_cancer, benign_rows, models_dir, tmp_path):
    with pytest.raises(InputError, match="explain: 31 is not between 1 and 30"):
        ExplainingScorer(breast_cancer, 31)
    with pytest.raises(InputError, match="explain: held-out surprises are those of the 16 default draws"):
        ExplainingScorer(breast_cancer, 2, num_samples=8)
    np.save(tmp_path / "rows.npy", benign_rows[:3])
    words = ("breast-cancer", tmp_path / "rows.npy", tmp_path / "out.csv", "--models", models_dir, "--explain", "2")
    done = vae(*words, "--url", "http://127.0.0.1:9")
    assert "not with --url or --engine ray" in str(done.exception)
    assert vae(*words).exit_code == 0
    header = (tmp_path / "out.csv").read_text().splitlines()[0].replace('"', "")
    assert header.endswith("odd_2,odd_2_relief,odd_2_p_value,odd_2_expected,kl_p_value")
