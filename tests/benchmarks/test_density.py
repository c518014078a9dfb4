"""The density benchmark: splits, simple densities and the summary."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.density import levels, runs, sets, simple, summary
from benchmarks.density.__main__ import main
from benchmarks.processes import ROOT


def grid(dim: int) -> tuple[np.ndarray, float]:
    """Points on a grid that covers most of a density over two columns, and the area of one cell."""
    axis = np.arange(-12.0, 12.0, 0.06)
    return np.stack(np.meshgrid(*[axis] * dim), axis=-1).reshape(-1, dim), 0.06**dim


def made(n: int = 400, seed: int = 0) -> sets.DensitySplit:
    """A split of rows from two normal clusters."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 2)) * [0.3, 0.6] + np.where(rng.random((n, 1)) < 0.5, -1.0, 1.0)
    train = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    return sets.DensitySplit(train, train[60:], train[:60], train[:5], sets.floors(train), sets.repeats(train))


@pytest.mark.parametrize("name", [*simple.SIMPLE, "vaekit"])
def test_a_density_integrates_to_one(name: str) -> None:
    points, area = grid(2)
    log_p = runs.CONTENDERS[name](made(), 0)(points)
    assert np.exp(log_p).sum() * area == pytest.approx(1.0, abs=0.03)  # heavy tails reach beyond the grid


def test_the_mixture_and_the_kernels_are_better_than_a_gaussian_on_two_clusters() -> None:
    split = made()
    test = made(seed=1).train
    values = {name: fit(split, 0)(test).mean() for name, fit in simple.SIMPLE.items()}
    for name in ("Gaussian mixture", "kernel density", "adaptive kernel density"):
        assert values[name] > values["full Gaussian"] + 0.1


def test_the_default_recipe_beats_all_simple_densities_on_a_curved_surface() -> None:
    def surface(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        u, v = rng.uniform(-np.pi, np.pi, (2, 500))
        waves = np.column_stack([np.sin(u), np.cos(u), np.sin(2 * v), np.cos(v), np.sin(u + v), v, np.cos(2 * u)])
        return waves + rng.normal(scale=0.1, size=waves.shape)

    x, test = surface(0), surface(1)
    split = sets.DensitySplit(x, x[75:], x[:75], test, sets.floors(x), sets.repeats(x))
    values = {name: fit(split, 0)(test).mean() for name, fit in simple.SIMPLE.items()}
    assert runs.CONTENDERS["vaekit"](split, 0)(test).mean() > max(values.values()), values


def test_no_density_is_narrower_than_the_floor() -> None:
    split = made()
    repeated = np.round(split.train)
    wide = sets.DensitySplit(
        repeated, repeated[60:], repeated[:60], repeated[:5], sets.floors(repeated), sets.repeats(repeated)
    )
    highest = 2 * np.log(1.0 / (np.sqrt(2.0 * np.pi) * 0.5))  # of a normal density with the floor as scale
    assert wide.floor.tolist() == [0.5, 0.5]
    for fit in (*simple.SIMPLE.values(), runs.CONTENDERS["vaekit"]):
        assert fit(wide, 0)(repeated).max() <= highest + 1e-5


def test_floors_and_repeats_follow_from_the_distinct_values() -> None:
    x = np.array([[0.0, 1.0], [0.5, 1.001], [2.0, 1.001], [2.0, 4.0]])
    assert sets.floors(x).tolist() == [0.25, sets.LEAST_SCALE]
    assert sets.repeats(x) == 0.25


def test_a_split_halves_the_normal_rows_and_standardises_them_by_the_training_rows(tmp_path) -> None:
    x = np.random.default_rng(0).normal(5.0, 3.0, size=(80, 3))
    x[:, 1] = 7.0  # constant
    np.savez(tmp_path / "set.npz", X=x, y=np.r_[np.zeros(60), np.ones(20)])
    split = sets.split(tmp_path, "set", 0, 1_000)
    assert split.train.shape == (30, 2)
    assert split.test.shape == (30, 2)
    assert len(split.fit) + len(split.validation) == 30
    np.testing.assert_allclose(split.train.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(split.train.std(axis=0), 1.0)


def test_the_summary_counts_sets_on_which_the_contender_is_best_or_near() -> None:
    values = {"a": (-1.0, -5.0, 0.1), "b": (-4.0, -3.6, 0.1), "c": (-9.0, -3.0, 0.9)}
    results = [
        {
            "set": name,
            "seed": seed,
            "contender": contender,
            "most_rows": 100,
            "log_p": value + (0.5 - seed) * 0.1,
            "fit_seconds": 1.0,
            "score_seconds": 1.0,
            "dims": 4,
            "repeats": repeats,
        }
        for name, (ours, other, repeats) in values.items()
        for contender, value in (("vaekit", ours), ("full Gaussian", other))
        for seed in (0, 1)
    ]
    table = summary.tabulate(results, ["full Gaussian", "vaekit"])
    assert table.counted.tolist() == [True, True, False]
    np.testing.assert_allclose(table.lead("vaekit"), [4.0, -0.4, -6.0])
    figures = {figure.name: figure for figure in summary.figures(table)}
    assert figures["vaekit: best"].value == 0.5
    assert figures["vaekit: near the best"].value == 1.0


def test_a_run_resumes_after_the_last_saved_result(tmp_path, monkeypatch) -> None:
    jobs = [runs.Job("iris", seed, "diagonal Gaussian", 1_000) for seed in (0, 1)]
    store = tmp_path / "density.jsonl"
    first = runs.run_all(jobs[:1], None, store)
    store.write_text(store.read_text() + '{"set": "ir')  # an interrupted run
    calls = []
    run = runs.run
    monkeypatch.setattr(runs, "run", lambda job, folder: calls.append(job) or run(job, folder))
    assert runs.run_all(jobs, None, store)[0] == first[0]
    assert calls == jobs[1:]


def test_an_unknown_set_is_refused_with_the_known_ones(tmp_path) -> None:
    with pytest.raises(SystemExit, match=r"--sets: no set 'irises'; there are breast-cancer, .*iris"):
        main(["--sets", "iris", "irises", "--out", str(tmp_path / "density.json")])


@pytest.mark.slow
def test_the_command_compares_vaekit_with_simple_densities(tmp_path) -> None:
    out = tmp_path / "density.json"
    chosen = ["diagonal Gaussian", "kernel density", "vaekit"]
    command = [sys.executable, "-m", "benchmarks.density", "--sets", "iris", "--seeds", "1", "--out", str(out)]
    done = subprocess.run([*command, "--contenders", *chosen], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {figure["name"] for figure in json.loads(out.read_text())["figures"]} >= {"vaekit: best"}
    results = [json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines()]
    (ours,) = (one for one in results if one["contender"] == "vaekit")
    assert ours["log_p"] <= ours["log_evidence"] + 0.1


def test_probabilities_of_levels_sum_to_one_and_dependent_columns_are_found() -> None:
    rng = np.random.default_rng(0)
    code = np.repeat(rng.integers(0, 3, (300, 1)), 3, axis=1)
    code[rng.random(300) < 0.2, 2] = 0
    split = levels.LevelSplit(code[:150], code[150:], [3, 3, 3])
    every = np.array(list(itertools.product(range(3), repeat=3)))
    values = {}
    for name in ("independent columns", "latent classes", "vaekit"):
        log_p = levels.CONTENDERS[name](split, 0)
        total = np.exp(log_p(every)).sum()
        assert total == pytest.approx(1.0, abs=0.03)  # vaekit reserves a part for unseen levels
        values[name] = log_p(split.test).mean()
    assert min(values["latent classes"], values["vaekit"]) > values["independent columns"] + 0.5


def test_columns_of_few_values_are_the_categories_of_a_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.integers(0, 3, (90, 5)), rng.standard_normal(90)])
    np.savez(tmp_path / "1_few.npz", X=x, y=np.arange(90) < 10)
    np.savez(tmp_path / "2_none.npz", X=x[:, 4:], y=np.arange(90) < 10)
    levels.main(["--data", str(tmp_path), "--out", str(tmp_path / "out.json"), "--seeds", "1"])
    figures = json.loads((tmp_path / "out.json").read_text())["figures"]
    assert [one["name"] for one in figures] == [f"1_few, 5 columns: {contender}" for contender in levels.CONTENDERS]
    assert "1_few, 5 columns" in capsys.readouterr().out
