"""The numbers of the bundle reader reference, from which readers in other languages are written, are right."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from vaekit.bundle import Calibration, default_eps
from vaekit.bundle.comparison import tie_floor
from vaekit.bundle.groups import Group, Groups
from vaekit.bundle.input_spec import Column, LenientColumn, VectorSpec
from vaekit.runtime import Model
from vaekit.tabular.cells import MISSING_TEXTS, read_cell
from vaekit.tabular.groups import RowGroups

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "bundle-reader.md").read_text(encoding="utf-8")


def table(first: str) -> list[tuple[str, ...]]:
    """The rows of the table whose first heading is `first`."""
    found = re.search(rf"^\| {re.escape(first)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert found is not None, first
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in found[1].splitlines()]


def numbers(text: str) -> list[float]:
    return [float(one) for one in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", text)]


@pytest.mark.parametrize(("levels", "cell", "value"), table("levels"))
def test_a_cell_of_the_page_is_the_level_that_it_says(levels: str, cell: str, value: str) -> None:
    column = LenientColumn(name="a", kind="category", levels=tuple(json.loads(levels.strip("`"))))
    found = read_cell(json.loads(cell.strip("`")), column)
    assert isinstance(found, float)
    if value == "missing":
        assert np.isnan(found)
    else:
        assert found == float(value.removesuffix(", unseen"))
        assert (found == len(column.levels or ())) == value.endswith("unseen")


def test_the_page_lists_every_text_that_is_missing() -> None:
    listed = set(
        re.findall(r"`([^`]+)`", PAGE.partition("without blanks around it, is `NA`")[2].partition("unseen level")[0])
    )
    assert {text for text in MISSING_TEXTS if text.lower().strip("-") != "nan"} <= listed | {"NA"}


@pytest.mark.parametrize(("held_out", "novel_held_out", "score", "novel", "p"), table("held-out, not novel"))
def test_a_p_value_of_the_page_is_that_of_the_calibration(
    held_out: str, novel_held_out: str, score: str, novel: str, p: str
) -> None:
    scores, others = numbers(held_out), numbers(novel_held_out)
    calibration = Calibration.of(scores + others, [False] * len(scores) + [True] * len(others))
    (found,) = calibration.p_value([float(score)], [novel == "yes"])
    up, down = numbers(p)
    assert found == up / down


@pytest.mark.parametrize(("by", "groups", "row", "compared"), table("`by`"))
def test_a_row_of_the_page_is_compared_with_the_group_that_it_says(
    by: str, groups: str, row: str, compared: str
) -> None:
    made = []
    for values, pooled in re.findall(r"`(\[.*?\])`( pooled)?", groups):
        made.append(Group(values=tuple(json.loads(values)), n=5, pooled=bool(pooled)))
    every = Groups(by=tuple(json.loads(by.strip("`"))), least_rows=5, groups=tuple(made))
    site = Column(name="site", kind="category", levels=("a", "b", "c"))
    spec = VectorSpec(columns=(site, Column(name="x"), Column(name="y")))
    named = re.fullmatch(r"site (\w), (\d) cells", row)
    assert named is not None
    x = np.array([[float("abc".index(named[1])), 0.0, 0.0]])
    x[0, int(named[2]) :] = np.nan
    node = int(every.compared[RowGroups(every, spec).nodes(x)[0]])
    expected = () if compared == "all rows" else tuple(json.loads(compared.strip("`")))
    assert (every.groups[node - 1].values if node else ()) == expected


def test_the_worked_example_is_what_the_model_computes(breast_cancer: Model) -> None:
    shown = dict(table("Step"))
    rows = json.loads((ROOT / "examples" / "rows.json").read_text(encoding="utf-8"))["inputs"]
    found, calibration = breast_cancer.elbo(rows), breast_cancer.calibration()
    assert isinstance(calibration, Calibration)
    base, k = breast_cancer.bundle.base_draws(), breast_cancer.manifest.draws.default
    eps = default_eps(base, k, breast_cancer.manifest.draws.rule)
    score, floor = float(found.score[0]), float(tie_floor(found.score[0]))
    at_least = int((calibration.scores >= floor).sum())
    for step, values in {
        "`noise.npy`, first row, first three values": base[0, :3],
        "`eps`, first row, first three values": eps[0, :3],
        "`elbo`": found.elbo[:1],
        "`log_likelihood`": found.log_likelihood[:1],
        "`kl`": found.kl[:1],
        "`log_evidence` of the graph `elbo`": found.log_evidence[:1],
        "`score`": [score],
        "floor of the score": [floor],
        "held-out scores of at least the floor": [at_least],
        "p": [1 + at_least, 1 + calibration.n, (1 + at_least) / (1 + calibration.n)],
    }.items():
        np.testing.assert_allclose(numbers(shown[step]), values, rtol=2e-6, atol=1e-8, err_msg=step)
    verdict = calibration.verdict(found, 0.05).is_anomaly
    assert verdict is not None
    assert verdict.tolist() == [json.loads(shown["`is_anomaly` at alpha = 0.05"]), True]


def test_the_other_scores_of_the_worked_example_are_right(breast_cancer: Model, digits: Model) -> None:
    text = PAGE.rpartition("The second row has")[2]
    rows = json.loads((ROOT / "examples" / "rows.json").read_text(encoding="utf-8"))["inputs"]
    second, image = breast_cancer.bound(rows[1:2]), digits.bound(np.zeros((1, 8, 8, 1), np.uint8))
    calibration = digits.calibration()
    assert isinstance(calibration, Calibration)
    p_value, tail = calibration.p_values_of(image, None)
    assert tail is not None
    assert second.p_value is not None
    expected = [*second.score, *(1, 73), *(8, 8), 1, 4, *image.score, *(1, 360), calibration.scores[-1], *tail]
    np.testing.assert_allclose(numbers(text), expected, rtol=1e-5)
    assert (second.p_value[0], p_value[0]) == (1 / 73, 1 / 360)
