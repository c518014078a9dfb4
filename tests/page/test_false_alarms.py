"""The expected false alarms of the page are those of the beta-binomial distribution of scipy."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest
from scipy.stats import betabinom

from vaekit_service.page.files import STATIC

CASES = [
    (rows, held_out, alpha)
    for rows in (1, 7, 200, 100_000)
    for held_out in (19, 72, 1000, 50_000)
    for alpha in (1 / 20, 0.1, 0.013, 0.5, 3 / 73)
]
SCRIPT = """
const { falseAlarms, rankOf, aboveAll } = await import(process.argv[1]);
const top = (n, m, folds) => aboveAll(n, { rows: m, smallest_alpha: 1 / (m + 1), fold_rows: folds });
const one = ([n, m, a]) => ({
  ...falseAlarms(n, m, a), k: rankOf(a, m), top: top(n, m, null), folds: top(n, m, [m, m, m]),
});
console.log(JSON.stringify(JSON.parse(process.argv[2]).map(one)));
"""


@pytest.fixture(scope="module")
def found() -> list[dict[str, Any]]:
    if shutil.which("node") is None:
        pytest.skip("needs node")
    module = (STATIC / "js/scores/beta_binomial.js").as_uri()
    command = ["node", "--no-warnings", "--input-type=module", "-e", SCRIPT, module, json.dumps(CASES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


@pytest.mark.parametrize("number", range(len(CASES)))
def test_false_alarms_are_beta_binomial(number: int, found: list[dict[str, Any]]) -> None:
    rows, held_out, alpha = CASES[number]
    k = max(j for j in range(held_out + 1) if j / (held_out + 1) <= alpha)  # p-values that are at most alpha
    assert found[number]["k"] == k
    if k == 0:
        assert (found[number]["expected"], found[number]["high"]) == (0, 0)
        return
    exact = betabinom(rows, k, held_out + 1 - k)
    assert found[number]["expected"] == pytest.approx(exact.mean(), rel=1e-12)
    for name, share in (("low", 0.025), ("high", 0.975)):
        x = found[number][name]
        assert exact.cdf(x) >= share - 1e-6
        assert x == 0 or exact.cdf(x - 1) < share + 1e-6


@pytest.mark.parametrize("number", range(len(CASES)))
def test_rows_above_every_held_out_row_are_beta_binomial(number: int, found: list[dict[str, Any]]) -> None:
    rows, held_out, _ = CASES[number]
    exact, top = betabinom(rows, 1, held_out), found[number]["top"]
    assert top["expected"] == pytest.approx(rows / (held_out + 1), rel=1e-12)
    assert exact.cdf(top["high"]) >= 0.975 - 1e-6
    assert top["high"] == 0 or exact.cdf(top["high"] - 1) < 0.975 + 1e-6


def test_a_bound_on_the_rows_above_all_folds_holds(found: list[dict[str, Any]]) -> None:
    rng = np.random.default_rng(0)
    for (rows, held_out, _), one in zip(CASES, found, strict=True):
        if rows > 200:
            continue
        share = rng.beta(1, held_out, (2_000, 3))  # of normal rows above each fold
        above = rng.random((2_000, rows, 1)) < share[:, None]
        top = (above.sum(axis=2) >= 2).sum(axis=1)  # the median p-value is the smallest
        assert top.mean() <= one["folds"]["expected"] * 1.1 + 0.01
        assert (top > one["folds"]["high"]).mean() <= 0.03
