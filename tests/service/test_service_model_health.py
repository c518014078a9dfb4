"""Model health: live scores against the calibration, in windows, and a test that is valid at every look."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.kinds import Published, grouped_rows
from tests.service.conftest import run
from vaekit import Model
from vaekit.bundle.calibration import Calibration
from vaekit.bundle.folds import FoldCalibration
from vaekit.bundle.grouped import GroupedCalibration
from vaekit.errors import ConfigError
from vaekit.runtime import Bound
from vaekit_service.model_health import martingale
from vaekit_service.model_health.held_out import HeldOutRows, LiveRows, Scores
from vaekit_service.model_health.martingale import Jumper, Martingale
from vaekit_service.model_health.waiting import WaitingRows
from vaekit_service.model_health.window import Window, wilson_interval
from vaekit_service.settings import load

pytestmark = pytest.mark.anyio


def continuous(rng: Any, n: int) -> Any:
    return rng.normal(size=n)


def tied(rng: Any, n: int) -> Any:
    return rng.integers(0, 5, n).astype(float)


def scored(score: Any, novel: Any = None) -> Scores:
    return Scores(np.asarray(score, dtype=float), None, novel, None)


def filled(window: Window, calibration: Calibration, batches: list[Any]) -> Window:
    for score in batches:
        window.add(scored(score), calibration.p_value(score), np.zeros(len(score)))
    return window


# The martingale


def highest(rows: Any, held_out: Any, seed: int) -> float:
    """The highest log10 evidence, read after every batch of 10 rows."""
    own = HeldOutRows(Calibration.of(held_out))
    test = Martingale(own, np.random.default_rng(seed))
    for batch in rows.reshape(-1, 10):
        test.add(own.live(scored(batch)))
    return test.log10_evidence


@pytest.mark.parametrize("draw", [continuous, tied])
def test_looking_after_every_batch_raises_no_more_alarms_than_promised(draw: Any) -> None:
    runs, levels = 200, np.array([2.0, 5.0, 10.0, 20.0])
    rng = np.random.default_rng(1)
    found = np.array([highest(draw(rng, 400), draw(rng, 60), seed) for seed in range(runs)])
    for level in levels:
        alarms = int((found >= np.log10(level)).sum())
        assert alarms <= stats.binom.ppf(0.999, runs, 1.0 / level), level
    assert found.max() > 0.0  # the test does bet


@pytest.mark.parametrize(
    "change", [lambda x: x + 1.0, lambda x: 2.5 * x, lambda x: 0.2 * x], ids=["up", "wide", "narrow"]
)
def test_a_change_is_found_within_hundreds_of_rows(change: Any) -> None:
    rng = np.random.default_rng(2)
    assert highest(change(rng.normal(size=600)), rng.normal(size=300), 0) >= 3.0


def test_twice_as_many_anomalies_are_found_although_the_other_rows_are_as_before() -> None:
    found, quiet = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        held_out, rows = rng.normal(size=2000), rng.normal(size=800)
        found.append(highest(np.where(rng.random(800) < 0.05, rng.normal(size=800) + 4.0, rows), held_out, seed))
        quiet.append(highest(rows, held_out, seed))
    assert np.median(found) >= 3.0 > max(quiet)


def test_a_change_after_many_normal_rows_is_found() -> None:
    rng = np.random.default_rng(3)
    own = HeldOutRows(Calibration.of(rng.normal(size=300)))
    test = Martingale(own, rng)
    test.add(own.live(scored(rng.normal(size=400))))
    assert test.log10_evidence < 2.0
    test.add(own.live(scored(rng.normal(size=300) + 1.0)))
    assert test.log10_evidence >= 3.0


def test_each_bet_has_a_gain_of_zero_on_average() -> None:
    capitals = []
    for p in (np.arange(20_000) + 0.5) / 20_000:
        jumper = Jumper()
        jumper.bet(0.3)  # the parts of the capital differ now
        before = jumper.capital
        jumper.bet(p)
        capitals.append(jumper.capital / before)
    assert np.mean(capitals) == pytest.approx(1.0, abs=1e-6)
    assert np.std(capitals) > 0.01


def test_many_rows_are_thinned_and_an_epoch_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(martingale, "monotonic", lambda: now)
    rng = np.random.default_rng(4)
    own = HeldOutRows(Calibration.of(rng.normal(size=300)))
    test = Martingale(own, rng)
    test.add(own.live(scored(rng.normal(size=5_000) + 3.0)))
    assert len(test._scores[0]) == 300 + martingale.BURST
    assert test.log10_evidence == pytest.approx(np.log10(martingale.MOST))
    test.add(own.live(scored(rng.normal(size=50))))
    assert len(test._scores[0]) == 300 + martingale.BURST  # no more are allowed yet
    now += martingale.EPOCH_SECONDS + 1.0
    assert test.log10_evidence == 0.0  # also if no more rows come
    test.add(own.live(scored(rng.normal(size=50))))
    assert len(test._scores[0]) == 300 + 50
    assert test.log10_evidence < 3.0


# Which rows are compared


def test_of_folds_the_largest_one_is_compared_by_its_own_model(folded: Published) -> None:
    with Model.load(folded.folder, device="cpu") as model:
        calibration = model.calibration()
        found = model.elbo(np.random.default_rng(0).normal(size=(40, 3)))
    assert isinstance(calibration, FoldCalibration)
    fold = int(np.argmax([one.n for one in calibration.folds]))
    live = HeldOutRows(calibration).live(Scores(found.score, found.fold_elbo, found.novel, None))
    want = calibration.folds[fold].p_value(-found.fold_elbo[:, fold], found.novel)
    np.testing.assert_array_equal(live.p_values, want)


def test_rows_of_groups_are_compared_within_their_group(grouped: Published) -> None:
    with Model.load(grouped.folder, device="cpu") as model:
        calibration = model.calibration()
        found = model.bound(grouped_rows(200, seed=9).tolist())
    assert isinstance(calibration, GroupedCalibration)
    own = HeldOutRows(calibration)
    live = own.live(Scores(found.score, None, found.novel, found.group_node))
    np.testing.assert_array_equal(live.p_values, calibration.verdict(found).p_value)
    assert set(live.sets) <= set(own.scores)
    inside = {node: set(np.flatnonzero(calibration.groups.inside(node))) & set(own.scores) for node in own.separate}
    assert own.separate
    assert all(nodes == {node} for node, nodes in inside.items())
    assert 0 not in own.separate  # the set of all rows contains the groups


def test_a_score_that_ties_with_a_held_out_score_is_set_to_it() -> None:
    own = HeldOutRows(Calibration.of([1.0, 2.0, 100.0]))
    live = own.live(scored([1.0 + 5e-6, 2.0 - 5e-6, 100.0 - 9e-4, 1.5, 101.0], np.array([False] * 4 + [True])))
    assert live.scores[:4].tolist() == [1.0, 2.0, 100.0, 1.5]
    assert live.scores[4] > 1e29
    assert live.novel.tolist() == [False] * 4 + [True]


# The window


def test_the_window_keeps_the_last_rows() -> None:
    calibration = Calibration.of(np.arange(99.0))
    window = filled(Window(calibration, size=30, alpha=0.05), calibration, [np.full(20, 1000.0), np.arange(7.0)])
    figures = window.figures()
    assert (figures.rows, figures.anomaly_rate) == (27, 20 / 27)
    assert figures.seconds > 1e9
    figures = filled(window, calibration, [np.arange(25.0)]).figures()
    assert (figures.rows, figures.anomaly_rate) == (30, 0.0)
    figures = filled(window, calibration, [np.full(500, 1000.0)]).figures()
    assert (figures.rows, figures.anomaly_rate) == (30, 1.0)


def test_the_number_of_anomalies_has_the_promised_distribution_without_a_change() -> None:
    rng, found = np.random.default_rng(5), []
    for seed in range(300):
        calibration = Calibration.of(rng.normal(size=100))
        window = Window(calibration, size=5000, alpha=0.1, seed=seed)
        found.append(filled(window, calibration, [rng.normal(size=300)]).figures().anomaly_rate_p_value)
    for level in (0.05, 0.2, 0.5):
        count = int((np.array(found) <= level).sum())
        low, high = stats.binom.ppf([0.0005, 0.9995], len(found), level)
        assert low - 0.02 * len(found) <= count <= high, level  # the p-values are discrete, so a little too high


def test_anomalies_beyond_chance_show_in_every_figure() -> None:
    rng = np.random.default_rng(6)
    calibration = Calibration.of(rng.normal(size=400))
    window = Window(calibration, size=1000, alpha=0.05)
    quiet = filled(window, calibration, [rng.normal(size=500)]).figures()
    assert min(quiet.anomaly_rate_p_value, quiet.drift.ks_p_value, quiet.drift.psi_p_value) > 0.01
    assert "no drift" in quiet.reading
    window = Window(calibration, size=1000, alpha=0.05)
    loud = filled(window, calibration, [rng.normal(size=500) + 1.0]).figures()
    assert max(loud.anomaly_rate_p_value, loud.drift.ks_p_value, loud.drift.psi_p_value) <= 0.001
    assert loud.anomaly_rate_low > 0.05
    assert loud.log10_evidence >= 3.0
    assert "run vae calibrate" in loud.reading


def test_the_interval_of_a_rate_is_wilsons() -> None:
    for count, n in ((0, 10), (3, 72), (50, 100), (10, 10)):
        want = stats.binomtest(count, n).proportion_ci(method="wilson")
        assert wilson_interval(count, n) == pytest.approx((want.low, want.high), abs=1e-6)


def bound(elbo: Any) -> Bound:
    elbo = np.asarray(elbo, dtype=np.float32)
    return Bound(elbo=elbo, log_likelihood=elbo, kl=elbo * 0, novel=elbo < -50, group_node=elbo.astype(np.int64))


@pytest.mark.parametrize("sizes", [[3], [10], [4, 4, 4], [25], [9, 25, 3], [1] * 23])
def test_the_last_rows_wait_in_their_order(sizes: list[int]) -> None:
    waiting, rows = WaitingRows(10, bound([0])), np.arange(float(sum(sizes)))
    for part in np.split(rows, np.cumsum(sizes)[:-1]):
        waiting.put(bound(part), part / 100)
    for _ in range(2):  # it is used again after a take
        scored, p_values, at = waiting.take()
        assert len(waiting) == 0
        np.testing.assert_array_equal(scored.score, -rows[-10:])
        np.testing.assert_array_equal(p_values, rows[-10:] / 100)
        np.testing.assert_array_equal(scored.group_node, rows[-10:])
        assert scored.fold_elbo is None
        assert (len(at), at.min() > 1e9) == (len(rows[-10:]), True)
        waiting.put(bound(rows), rows / 100)


def test_live_rows_can_be_cut() -> None:
    rows = LiveRows(np.zeros(4, dtype=np.int64), np.arange(4.0), np.ones(4), np.zeros(4, dtype=bool))
    assert (len(rows[-2:]), rows[-2:].scores.tolist()) == (2, [2.0, 3.0])


# The service


def gauges(text: str, model: str) -> dict[str, float]:
    found = re.findall(rf'^vae_health_(\w+){{model="{model}",version="1"}} (\S+)$', text, re.MULTILINE)
    return {name: float(value) for name, value in found}


async def test_the_service_shows_the_figures_in_its_metrics_and_under_the_model(
    models_dir: Path, benign_rows: Any
) -> None:
    async with run(models_dir, default_model="breast-cancer", alpha=0.1) as service:
        empty = (await service.http.get("/models/breast-cancer/health")).json()
        assert (empty["rows"], empty["ks"]) == (0, None)
        assert gauges((await service.http.get("/metrics")).text, "breast-cancer") == {}
        for rows in (benign_rows[:70], benign_rows[70:150] * 1.2):
            assert (await service.post("/elbo", {"inputs": rows.tolist()})).status_code == 200
        replies = [(await service.post("/elbo", {"inputs": benign_rows[:9].tolist()})).json()]
        await service.post("/elbo", {"inputs": benign_rows[:5].tolist(), "seed": 3})  # not the calibration's draws
        await service.post("/encode", {"inputs": benign_rows[:5].tolist()})
        await service.components.health.update()
        shown = (await service.http.get("/models/breast-cancer/health")).json()
        by_version = (await service.http.get("/models/breast-cancer/versions/1/health")).json()
        listed = gauges((await service.http.get("/metrics")).text, "breast-cancer")
        missing = await service.http.get("/models/nothing/health")
    assert missing.status_code == 404
    assert shown["rows"] == 70 + 80 + 9
    assert shown["log10_evidence"] >= 3.0
    assert "run vae calibrate" in shown["reading"]
    assert (by_version["rows"], by_version["ks"]) == (shown["rows"], shown["ks"])
    assert listed.keys() - {"seconds"} == shown.keys() - {"model", "version", "reading", "seconds"}
    assert all(listed[name] == pytest.approx(shown[name]) for name in listed if name != "seconds")
    assert len(replies[0]["p_value"]) == 9


async def test_the_comparison_runs_by_itself_and_goes_on_after_an_error(models_dir: Path, benign_rows: Any) -> None:
    async with run(models_dir, default_model="breast-cancer", health_seconds=0.02) as service:
        health, update, errors = service.components.health, service.components.health.update, 0

        async def failing() -> None:
            nonlocal errors
            errors += 1
            if errors == 1:
                raise ValueError("once")
            await update()

        health.update = failing  # type: ignore[method-assign]  # a stand-in
        await service.post("/elbo", {"inputs": benign_rows[:20].tolist()})
        async with asyncio.timeout(20):
            while (await service.http.get("/models/breast-cancer/health")).json()["rows"] != 20:
                await asyncio.sleep(0.02)
        assert [line["reason"] for line in service.lines() if "model health" in line["event"]] == ["ValueError: once"]


async def test_a_model_that_cannot_be_compared_does_not_keep_others_from_it(
    models_dir: Path, benign_rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run(models_dir, health_seconds=3600.0) as service:
        health, compare = service.components.health, service.components.health._compare
        images = np.zeros((2, 8, 8, 1), dtype=int).tolist()
        for name, rows in (("breast-cancer", benign_rows[:9].tolist()), ("digits", images)):
            assert (await service.post(f"/models/{name}/elbo", {"inputs": rows})).status_code == 200

        def failing(model: Model, *given: Any) -> Any:
            if model.manifest.name == "breast-cancer":
                raise ValueError("damaged")
            return compare(model, *given)

        monkeypatch.setattr(health, "_compare", failing)
        await health.update()
        shown = [(await service.http.get(f"/models/{name}/health")).json() for name in ("breast-cancer", "digits")]
    assert [each["rows"] for each in shown] == [0, 2]
    (line,) = [each for each in service.lines() if each["event"] == "update of the model health failed"]
    assert (line["model"], line["reason"]) == ("breast-cancer@1", "ValueError: damaged")


def test_a_window_has_a_largest_size() -> None:
    with pytest.raises(ConfigError, match="VAE_HEALTH_ROWS"):
        load(health_rows=10**12)  # its arrays are made at the first request


async def test_it_can_be_turned_off_and_keeps_no_more_rows_than_the_window(models_dir: Path, benign_rows: Any) -> None:
    async with run(models_dir, default_model="breast-cancer", health_rows=0) as service:
        await service.post("/elbo", {"inputs": benign_rows[:20].tolist()})
        await service.components.health.update()
        shown = (await service.http.get("/models/breast-cancer/health")).json()
        assert (shown["rows"], shown["reading"]) == (0, "the model health is off: VAE_HEALTH_ROWS is 0")
    async with run(models_dir, default_model="breast-cancer", health_rows=50) as service:
        for _ in range(10):
            await service.post("/elbo", {"inputs": benign_rows[:20].tolist()})
        (own,) = service.components.health._models.values()
        assert len(own.waiting) == 50
        await service.components.health.update()
        assert (await service.http.get("/models/breast-cancer/health")).json()["rows"] == 50
