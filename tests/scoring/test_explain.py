"""`vae explain` on the command line: a table, JSON, and a figure of one row."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.kinds import NAMES, curve_rows, mixed_rows
from vaekit.cli import app
from vaekit.errors import InputError
from vaekit.runtime import Model, heatmap
from vaekit.scoring import explain_row
from vaekit.scoring.evaluation.explain_plots import cells_figure


def vae(*words: str | Path) -> Any:
    return CliRunner().invoke(app, ["explain", *map(str, words)])


@pytest.fixture
def wrong_csv(tmp_path, benign_rows, breast_cancer) -> Path:
    """Benign rows; the worst area of row 5 is doubled."""
    rows = benign_rows[:8].copy()
    rows[5, 23] *= 2
    path = tmp_path / "wrong.csv"
    path.write_text("\n".join([",".join(breast_cancer.spec.names), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def test_a_wrong_cell_is_listed_first_and_its_original_value_is_in_the_interval(wrong_csv, models_dir, benign_rows):
    done = vae("breast-cancer", wrong_csv, "--row", "5", "--models", models_dir, "--json")
    assert done.exit_code == 0, done.output
    explained = json.loads(done.stdout)
    first = explained["cells"][0]
    assert (first["feature"], first["value"]) == ("worst area", 2 * benign_rows[5, 23])
    assert first["low"] < benign_rows[5, 23] < first["high"]
    assert first["relief"] > 10 * explained["cells"][1]["relief"]
    assert explained["p_value"] < 0.05 < explained["kl_p_value"]
    shown = vae("breast-cancer", wrong_csv, "--row", "5", "--models", models_dir, "--cells", "2").stdout
    assert shown.index("worst area") < shown.index("worst radius")
    assert "worst perimeter" not in shown


def test_the_figure_of_a_table_row_is_drawn(wrong_csv, models_dir, tmp_path):
    out = tmp_path / "cells.png"
    done = vae("breast-cancer", wrong_csv, "--row", "5", "--models", models_dir, "--out", out)
    assert done.exit_code == 0, done.output
    with Image.open(out) as drawn:
        seen = np.asarray(drawn.convert("RGB")).reshape(-1, 3)
    for colour in ((0, 114, 178), (213, 94, 0)):  # bars, and dots
        assert (np.abs(seen.astype(int) - colour).max(axis=1) < 8).sum() > 50


def test_the_kl_of_a_kernel_prior_is_not_shown_because_it_is_the_score_plus_a_constant(tmp_path):
    x = np.random.default_rng(0).standard_normal((60, 3))
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["a,b,c", *(",".join(map(str, row)) for row in x)]) + "\n")
    trained = CliRunner().invoke(app, ["train", str(path), "--models", str(tmp_path), "--run", str(tmp_path / "run")])
    assert trained.exit_code == 0, trained.output
    assert "choosing the kernels" in trained.output
    assert "kept the best weights" not in trained.output
    x[5, 0] = 40.0
    path.write_text("\n".join(["a,b,c", *(",".join(map(str, row)) for row in x)]) + "\n")
    shown = vae(tmp_path / "rows" / "1", path, "--row", "5").stdout
    assert "relief" in shown
    assert shown.count("relief and excess are equal") == 1
    assert "kl" not in shown
    usual = vae(tmp_path / "rows" / "1", path, "--row", str(int(np.abs(x).max(axis=1).argmin()))).stdout
    assert "no single cell stands out: the 3 cells explained are as expected" in usual
    assert "relief" not in usual
    with Model.load(tmp_path / "rows" / "1", device="cpu") as model:
        for row in (4, 5):
            found = explain_row(model, path, row, top=3)
            assert "kl" not in cells_figure(found).get_suptitle()
            assert "kl_is_score" not in found.tree()
        first, second = (explain_row(model, path, row, top=3) for row in (4, 5))
    assert first.kl - first.score == pytest.approx(second.kl - second.score)


def test_the_most_similar_training_rows_are_listed_if_the_bundle_holds_them(shown, tmp_path):
    x = curve_rows()
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["a,b,c", *(",".join("" if v != v else str(v) for v in row) for row in x)]) + "\n")
    row = int(shown.trained.splits.train[shown.trained.splits.train % 10 != 0][0])
    done = vae(shown.folder, path, "--row", row, "--json")
    assert done.exit_code == 0, done.output
    similar = json.loads(done.stdout)["similar"]
    assert len(similar) == 3
    for one in similar:
        assert list(one["values"].values()) == pytest.approx([None if v != v else v for v in x[one["row"]]])
    text = vae(shown.folder, path, "--row", row).stdout
    assert "most similar training rows" in text
    assert f"{similar[0]['weight']:.1%}" in text
    assert "show_exemplars" not in text


def test_without_training_rows_in_the_bundle_one_line_says_how_to_get_them(shown, tmp_path):
    hidden = tmp_path / "shown" / "1"
    shutil.copytree(shown.folder / "1", hidden)
    manifest = json.loads((hidden / "manifest.json").read_text())
    (hidden / "manifest.json").write_text(json.dumps({**manifest, "exemplars": None}))
    np.save(tmp_path / "rows.npy", curve_rows()[1:2])
    text = vae(hidden, tmp_path / "rows.npy", "--row", "0").stdout
    assert "most similar training rows too: vae train with --set privacy.show_exemplars=true" in text
    assert json.loads(vae(hidden, tmp_path / "rows.npy", "--row", "0", "--json").stdout)["similar"] is None


def test_models_without_kernels_list_no_training_rows(wrong_csv, models_dir):
    assert "training rows" not in vae("breast-cancer", wrong_csv, "--row", "5", "--models", models_dir).stdout


def test_a_row_with_a_category_and_a_missing_cell_is_listed_and_drawn(mixed, tmp_path):
    rows, out = mixed_rows(12, seed=3), tmp_path / "mixed.png"
    path = tmp_path / "rows.csv"
    path.write_text(
        "\n".join([",".join(NAMES), *(",".join("" if v is None else f'"{v}"' for v in row) for row in rows)])
    )
    row = next(i for i, cells in enumerate(rows) if sum(v is None for v in cells) == 1 and cells[4] is not None)
    done = vae(mixed.folder, path, "--row", str(row), "--json", "--out", out)
    assert done.exit_code == 0, done.output
    explained = {cell["feature"]: cell for cell in json.loads(done.stdout)["cells"]}
    assert set(explained) == {name for name, v in zip(NAMES, rows[row], strict=True) if v is not None}
    assert explained["colour"]["value"] == rows[row][4]
    assert out.read_bytes().startswith(b"\x89PNG")
    assert "stands out" in vae(mixed.folder, path, "--row", str(row)).stdout


def test_the_heatmap_of_an_image_is_highest_at_changed_pixels(digits, digit_images, models_dir, tmp_path):
    images, out = digit_images[:6].copy(), tmp_path / "heat.png"
    images[4, :2, 6:] = 255
    np.save(tmp_path / "images.npy", images)
    done = vae("digits", tmp_path / "images.npy", "--row", "4", "--models", models_dir, "--out", out)
    assert done.exit_code == 0, done.output
    with Image.open(out) as drawn:
        assert drawn.size[0] == 768
    heat = heatmap(digits, digits.explain(images, top=1))
    assert heat.shape == (6, 8, 8)
    assert np.unravel_index(heat[4].argmax(), (8, 8)) == (0, 7)
    per_pixel = -digits.surprise(images).feature_log_likelihood[..., 0]
    middle = digits.surprises.features.middle.reshape(8, 8)
    np.testing.assert_allclose(heat, per_pixel - middle, rtol=1e-4, atol=1e-4)


def test_a_heatmap_of_a_table_is_refused(breast_cancer, benign_rows):
    with pytest.raises(InputError, match="heatmap: breast-cancer is not a model of images"):
        heatmap(breast_cancer, breast_cancer.explain(benign_rows[:1], top=1))


def test_a_row_number_beyond_the_end_is_refused(wrong_csv, models_dir):
    done = vae("breast-cancer", wrong_csv, "--row", "8", "--models", models_dir)
    assert isinstance(done.exception, InputError)
    assert str(done.exception) == f"{wrong_csv}: row 8: the input has 8 rows, counted from 0"


def test_rows_with_categories_have_named_similar_rows_and_unseen_levels_are_drawn(tmp_path):
    rng = np.random.default_rng(0)
    city = rng.choice(["Oslo", "Rome"], 200)
    lines = [f"{one},{x:.3f}" for one, x in zip(city, rng.standard_normal(200) + 5 * (city == "Rome"), strict=True)]
    (tmp_path / "rows.csv").write_text("\n".join(["city,x", *lines]) + "\n")
    (tmp_path / "odd.csv").write_text("city,x\nOslo,5.0\nTokyo,5.0\n")
    words = ["train", str(tmp_path / "rows.csv"), "--models", str(tmp_path), "--run", str(tmp_path / "run")]
    trained = CliRunner().invoke(app, [*words, "--set", "privacy.show_exemplars=true"])
    assert trained.exit_code == 0, trained.output
    assert "category: city; the prior is a kernel density" in trained.output
    wrong = vae(tmp_path / "rows" / "1", tmp_path / "odd.csv", "--row", "0", "--json")
    found = json.loads(wrong.stdout)
    first = found["cells"][0]
    assert (first["feature"], first["value"], first["expected"]) == ("city", "Oslo", "Rome")
    assert first["probability"] > 0.9
    assert {one["values"]["city"] for one in found["similar"]} <= {"Oslo", "Rome"}
    out = tmp_path / "cells.png"
    novel = vae(tmp_path / "rows" / "1", tmp_path / "odd.csv", "--row", "1", "--out", out)
    assert novel.exit_code == 0, novel.output
    assert "'Tokyo', unseen" in novel.stdout
    assert "Rome" in novel.stdout.split("similar")[1]
    assert out.exists()
    (tmp_path / "gap.csv").write_text("city,x\nOslo,\nTokyo,5.0\n")
    words = ["score", str(tmp_path / "rows" / "1"), str(tmp_path / "gap.csv"), str(tmp_path / "scored.csv")]
    scored = CliRunner().invoke(app, [*words, "--explain", "1"])
    assert scored.exit_code == 0, scored.output
    gap, unseen = pyarrow.csv.read_csv(tmp_path / "scored.csv").to_pylist()
    assert (unseen["odd_1"], unseen["odd_1_value"]) == ("city", "<unseen level>")
    assert gap["novel"] == "x"
    said = vae(tmp_path / "rows" / "1", tmp_path / "gap.csv", "--row", "0").stdout
    assert "missing: x; no training row lacks as many cells, so the row is novel" in said
    assert "missing: " not in vae(tmp_path / "rows" / "1", tmp_path / "gap.csv", "--row", "1").stdout
