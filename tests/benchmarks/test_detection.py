"""The detection benchmark: splits, summary figures and resumed runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import wilcoxon

from benchmarks import images
from benchmarks.detection import plots, sets, summary
from benchmarks.detection.runs import Result, Store
from benchmarks.detection.worker import Job
from benchmarks.processes import ROOT


def labelled(n: int, odd: int, dims: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Rows that are all different, the last few of them anomalies."""
    x = np.arange(n * dims, dtype=float).reshape(n, dims)
    return x, np.arange(n) >= n - odd


def test_a_clean_split_trains_on_half_of_the_normal_rows_and_tests_on_all_others() -> None:
    x, y = labelled(100, 20)
    found = sets.split(x, y, 0, protocol="clean", most_rows=1000)
    assert len(found.train) == 40
    assert found.is_anomaly.sum() == 20
    together = np.concatenate([found.train, found.test])
    assert sorted(together[:, 0]) == sorted(x[:, 0])
    assert set(x[y][:, 0]) == set(found.test[found.is_anomaly][:, 0])
    again, other = (sets.split(x, y, seed, protocol="clean", most_rows=1000) for seed in (0, 1))
    np.testing.assert_array_equal(found.train, again.train)
    assert set(found.train[:, 0]) != set(other.train[:, 0])


def test_the_file_order_protocol_trains_on_the_first_half_and_bootstraps_small_sets() -> None:
    x, y = labelled(2000, 100)
    found = sets.split(x, y, 3, protocol="file-order", most_rows=5000)
    np.testing.assert_array_equal(found.train, x[:950])
    small = sets.split(*labelled(100, 20), 3, protocol="file-order", most_rows=5000)
    assert len(small.train) + len(small.test) == sets.BOOTSTRAP
    assert set(small.train[:, 0]) & set(small.test[:, 0])


def test_a_large_set_is_sampled() -> None:
    x, y = labelled(500, 100)
    found = sets.split(x, y, 0, protocol="clean", most_rows=200)
    assert len(found.train) + len(found.test) == 200


def test_rows_are_standardised_by_training_rows_and_constant_columns_stay_finite() -> None:
    rng = np.random.default_rng(0)
    train = np.column_stack([rng.normal(5, 3, 50), np.full(50, 7.0)])
    rows = sets.Split(train, train[:3] + 1.0, np.zeros(3, dtype=bool)).standardised()
    np.testing.assert_allclose(rows.train[:, 0].std(), 1.0)
    np.testing.assert_allclose(rows.test[:, 1], 1.0)


def test_the_halves_do_not_depend_on_numbers_or_order_and_share_no_set() -> None:
    names = ["1_wine", "2_iris", "3_letter", "glass", "5_musk"]
    tuning, checking = (sets.half(names, which) for which in sets.HALVES)
    assert (len(tuning), len(checking)) == (2, 3)
    assert sorted(tuning + checking) == sorted(names)
    renumbered = [name.replace("1_", "9_") for name in reversed(names)]
    assert {name.replace("9_", "1_") for name in sets.half(renumbered, "tuning")} == set(tuning)


def results(auroc: dict[str, dict[str, list[float]]]) -> list[Result]:
    """Results from AUROCs by method, set and seed; AP is half of AUROC."""
    return [
        {"method": m, "set": s, "seed": i, "auroc": v, "ap": v / 2, "seconds": 1.0, "memory": None}
        for m, by_set in auroc.items()
        for s, values in by_set.items()
        for i, v in enumerate(values)
    ]


def test_the_table_has_means_over_seeds_for_sets_that_all_methods_finished() -> None:
    found = results({"a": {"x": [0.8, 0.9], "y": [0.5, 0.5]}, "b": {"x": [0.6, 0.6], "y": [0.5, 0.7]}})
    found += [{"method": m, "set": "z", "seed": 0, "error": "ValueError"} for m in "ab"]
    table = summary.tabulate(found, ["a", "b"])
    assert table.sets == ["x", "y"]
    assert table.left_out == ["z"]
    np.testing.assert_allclose(table.values["auroc"], [[85.0, 60.0], [50.0, 60.0]])
    assert table.mean("ap", "a") == pytest.approx(33.75)
    np.testing.assert_allclose(table.ranks("auroc"), [1.5, 1.5])


def test_the_critical_difference_matches_the_table_of_demsar() -> None:
    """Table 5 of Demsar (2006): q = 2.728 for five classifiers at 5 %, and 2.569 for four."""
    assert summary.critical_difference(5, 30) == pytest.approx(2.728 * np.sqrt(5 * 6 / (6 * 30)), abs=1e-3)
    assert summary.critical_difference(4, 14) == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 14)), abs=1e-3)


def test_groups_are_maximal_runs_without_a_significant_difference() -> None:
    assert plots.groups(np.array([1.0, 1.5, 2.2, 4.0]), 1.3) == [(0, 2)]
    assert plots.groups(np.array([1.0, 2.0, 3.0]), 1.1) == [(0, 1), (1, 2)]
    assert plots.groups(np.array([1.0, 3.0]), 1.0) == []


def test_losses_and_the_place_by_mean_rank_are_counted() -> None:
    found = results({"vaekit": {"x": [0.9], "y": [0.80]}, "kNN-mean": {"x": [0.7], "y": [0.86]}})
    figures = {f.name: f for f in summary.figures(summary.tabulate(found, ["vaekit", "kNN-mean"]), "vaekit")}
    assert figures["mean AUROC: vaekit - kNN-mean"].value == pytest.approx(7.0)
    assert figures["more than 5 points of AUROC below kNN-mean"].value == 1
    assert figures["place by mean rank, AUROC (first: vaekit)"].value == 1


def test_published_columns_are_matched_to_their_sets(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(",kNN,VAE\naloi,51.04,\nglass,92.1,71\n")
    table = summary.tabulate(results({"vaekit": {"1_ALOI": [0.5], "9_none": [0.6]}}), ["vaekit"])
    summary.write_csv(tmp_path / "out.csv", table, summary.published(tmp_path / "table.csv"))
    assert (tmp_path / "out.csv").read_text().splitlines()[:3] == [
        "set,measure,vaekit,published kNN,published VAE",
        "1_ALOI,auroc,50,51.04,",
        "9_none,auroc,60,,",
    ]


def test_a_store_keeps_results_and_ignores_an_incomplete_line(tmp_path: Path) -> None:
    job = Job("/somewhere", "x", 0, "clean", 100, "kNN")
    path = tmp_path / "deep" / "results.jsonl"
    Store(path).add({**job.__dict__, "auroc": 0.5})
    with path.open("a") as file:
        file.write('{"set": "y", "auro')
    again = Store(path)
    found = again.get(Job("/elsewhere", "x", 0, "clean", 100, "kNN"))
    assert found is not None
    assert found["auroc"] == 0.5
    assert again.get(Job("/somewhere", "x", 1, "clean", 100, "kNN")) is None


@pytest.mark.slow
def test_the_benchmark_runs_and_resumes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(120, 3)) @ rng.normal(size=(3, 4))
    x, y = np.concatenate([normal, 6 + rng.normal(size=(20, 4))]), np.repeat([0, 1], [120, 20])
    np.savez(tmp_path / "1_made.npz", X=x, y=y)
    out = tmp_path / "out" / "detection.json"
    settings = tmp_path / "short.json"
    settings.write_text('["training.steps=60"]')
    command = [sys.executable, "-m", "benchmarks.detection", "--data", str(tmp_path), "--out", str(out), "--seeds", "1"]
    command += ["--no-default", "--config", str(settings), "--methods", "kNN", "kNN-mean", "--jobs", "2"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    lines = out.with_suffix(".jsonl").read_text().splitlines()
    assert len(lines) == 3
    found = {one["method"]: one for one in map(json.loads, lines)}
    assert found["kNN"]["auroc"] > 0.95
    assert found["short"]["auroc"] > 0.9
    assert found["short"]["train"] == 60
    assert out.with_suffix(".csv").read_text().startswith("set,measure,short,kNN,kNN-mean")
    assert out.with_name("detection-ranks.png").read_bytes().startswith(b"\x89PNG")
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert out.with_suffix(".jsonl").read_text().splitlines() == lines


def test_the_tests_against_each_method_are_corrected_together() -> None:
    rng = np.random.default_rng(0)
    a = rng.random(20)
    values = np.column_stack([a, a - 0.1 - 0.1 * rng.random(20), a + 0.01 * rng.standard_normal(20)])
    table = summary.Table(list("abcdefghijklmnopqrst"), ["own", "worse", "equal"], {"auroc": values}, a, a, [])
    p = summary.holm_p(table, "auroc", "own")
    assert p["worse"] == pytest.approx(2 * wilcoxon(values[:, 0] - values[:, 1]).pvalue)
    assert p["equal"] == pytest.approx(wilcoxon(values[:, 0] - values[:, 2]).pvalue)
    assert p["worse"] < 1e-4 < 0.05 < p["equal"]


def test_images_of_a_class_left_out_are_scored_in_all_ways(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(images, "MOST_ROWS", 120)
    quick = [*images.PLAIN, "training.steps=20", "training.evaluate_every=10"]
    monkeypatch.setattr(images, "PLAIN", quick)
    real = images.trained
    monkeypatch.setattr(images, "trained", lambda x, settings: real(x, settings or quick[1:]))
    images.main(["--classes", "3", "--out", str(tmp_path / "out.json")])
    figures = json.loads((tmp_path / "out.json").read_text())["figures"]
    assert len(figures) == 9
    assert {one["name"] for one in figures} >= {"digits: settings for images, -ELBO", "digits: kNN-mean on pixels"}
    assert all(0 <= one["value"] <= 100 for one in figures)
    images.main(["--classes", "3", "--tables", str(tmp_path / "tables")])
    with np.load(tmp_path / "tables" / "digits-3.npz") as arrays:
        assert arrays["X"].shape == (120, 64)
        assert 0 < arrays["y"].mean() < 0.5
    capsys.readouterr()


def test_a_mutated_image_has_a_share_of_random_pixels_and_noise_is_long_as_png() -> None:
    flat = np.zeros((4, 8, 8, 1), np.uint8)
    changed = (images.mutated(flat) != flat).mean()
    assert 0.1 < changed < 0.3
    assert (images.png_bits(images.mutated(flat)) > images.png_bits(flat)).all()
