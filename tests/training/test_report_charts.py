"""The charts of the report: axes, ticks, bins and sheets of images."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.training.reported import facts_of
from tests.training.test_report import EVERYTHING, Page
from vaekit.bundle.input_spec import Column
from vaekit_training.report.facts import kl_by_latent, spread
from vaekit_training.report.fit import MOST_SHOWN, bins, distance, fits
from vaekit_training.report.fit import section as fit_section
from vaekit_training.report.image_sheets import LARGEST, embedded, fitting, sheet
from vaekit_training.report.page import html, sections
from vaekit_training.report.parts import number
from vaekit_training.report.rows import score_axis
from vaekit_training.report.svg import Axis, Chart, labels


def test_latent_statistics_are_computed_for_each_member() -> None:
    facts = facts_of(EVERYTHING)
    mu, sigma = (np.asarray(a, dtype=np.float64) for a in (facts.posterior.mu, facts.posterior.sigma))  # (N, M, Z)
    np.testing.assert_allclose(spread(facts.posterior), mu.var(axis=0))
    kl = 0.5 * (mu**2 + sigma**2 - 1) - np.log(sigma)
    np.testing.assert_allclose(kl_by_latent(facts.posterior), kl.mean(axis=0))
    page = Page(html(facts, sections(facts), facts.manifest)).words
    assert "Latent map, member 0" in page
    assert "Latent map, member 1" in page


def test_traversals_vary_one_dimension_over_the_range_of_the_prior() -> None:
    facts = facts_of("gaussian, scale from the network")
    variance = spread(facts.posterior)[0]
    assert [t.dimension for t in facts.traversals] == [j for j in np.argsort(-variance) if facts.active[0, j]]
    one = facts.traversals[0]
    assert (np.diff(one.latents) > 0).all()
    low, high = np.quantile(facts.draws.latents[:, one.dimension], [0.01, 0.99])
    np.testing.assert_allclose(one.latents[[0, -1]], [low, high], rtol=1e-5)
    assert one.means.shape == (9, 5)
    assert not np.allclose(one.means[0], one.means[-1])


def test_the_distance_is_0_for_equal_and_1_for_disjoint_values() -> None:
    real, category = Column(name="a"), Column(name="b", kind="category", levels=("x", "y", "z"))
    a = np.arange(100.0)
    assert distance(real, a, a) == 0
    assert distance(real, a, a + 1000) == 1
    assert distance(real, a, a + 25) == pytest.approx(0.25)
    assert distance(category, np.zeros(4), np.zeros(9)) == 0
    assert distance(category, np.array([0.0, 0, 1, 1]), np.array([0.0, 1, 2, 2])) == pytest.approx(0.5)


def test_columns_are_sorted_by_distance_without_constant_and_missing_values() -> None:
    found = fits(facts_of(EVERYTHING))
    assert [fit.distance for fit in found] == sorted((fit.distance for fit in found), reverse=True)
    assert {fit.column.name for fit in found} == {f"m{d}" for d in range(7)}
    assert not any(np.isnan(fit.data).any() for fit in found)
    assert "c5" not in {fit.column.name for fit in fits(facts_of("gaussian, a constant column"))}


def test_the_number_of_columns_not_shown_is_stated() -> None:
    facts = facts_of("gaussian, one scale")
    many = 6  # copies of the five columns
    columns = [
        c.model_copy(update={"name": f"{c.name}.{i}"}) for i in range(many) for c in facts.manifest.input.columns
    ]
    spec = facts.manifest.input.model_copy(update={"columns": tuple(columns)})
    wide = replace(
        facts,
        manifest=facts.manifest.model_copy(update={"input": spec}),
        test=np.tile(facts.test, many),
        draws=replace(facts.draws, samples=np.tile(facts.draws.samples, many)),
    )
    shown = fit_section(wide)
    assert len(shown.figures) == MOST_SHOWN
    assert shown.text[-1].startswith(f"Not shown: {5 * many - MOST_SHOWN} columns that fit better")


def test_bin_edges_of_counts_are_between_whole_numbers() -> None:
    (fit, *_) = [fit for fit in fits(facts_of("discretized_logistic, counts")) if fit.column.name == "n2"]
    edges = bins(fit)
    np.testing.assert_array_equal(edges % 1, 0.5)
    assert len(set(np.diff(edges))) == 1
    assert len(edges) <= 27


def test_a_line_goes_through_its_points_with_gaps_at_missing_ones() -> None:
    chart = Chart(Axis(0, 10), Axis(0, 1), width=110, height=130, left=2, top=10)  # 100 x 100 within the frame
    svg = chart.line([0, 1, 2, 3, 10], [0, 0.333, np.nan, 0.5, 1], "s1").svg("a line")
    (path,) = re.findall(r'class="line s1" d="([^"]+)"', svg)
    places, moves = follow(path)
    np.testing.assert_allclose(places, [[2, 110], [12, 76.7], [32, 60], [102, 10]], atol=0.06)
    assert moves == [True, False, True, False]


def follow(path: str) -> tuple[list[list[float]], list[bool]]:
    """The points of an SVG path of relative commands, and whether each is reached by a move instead of a line."""
    at, places, moves = np.zeros(2), [], []
    for command, rest in re.findall(r"([MmLlHhVv])([^MmLlHhVv]*)", path):
        values = [float(v) for v in re.findall(r"-?\d*\.?\d+", rest)]
        step = {"h": [*values, 0.0], "v": [0.0, *values]}.get(command, values)
        at = at + step
        places.append(at.tolist())
        moves.append(command in "Mm")
    return places, moves


@pytest.mark.parametrize(
    "scale",
    [
        Axis(0, 1),
        Axis(-3e-9, 2e-9),
        Axis(1e9, 1e9 + 3),
        Axis.over([7.0]),
        Axis.over([]),
        Axis.over([0.0]),
    ],
)
def test_ticks_are_within_the_axis_and_have_different_labels(scale: Axis) -> None:
    for about in (2, 5):
        ticks = scale.ticks(about)
        assert len(ticks) >= 2
        assert all(scale.low <= tick <= scale.high for tick in ticks)
        assert len(set(labels(ticks))) == len(ticks)


def test_the_score_axis_shows_both_normal_scores_and_scores_far_out() -> None:
    near, far = np.linspace(-40, 0, 200), np.geomspace(100, 1e5, 50)
    scale = score_axis({"test": near, "anomalies": far})
    assert scale.place(near).max() - scale.place(near).min() > 0.15
    assert scale.place(far).max() == 1
    assert (np.diff(scale.edges(48)) > 0).all()
    np.testing.assert_allclose(np.diff(scale.place(scale.edges(48))), 1 / 48)
    assert score_axis({"test": near, "anomalies": near + 10}).lift is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (12345.678, "12346"),
        (-1.5, "-1.5"),
        (0.05, "0.05"),
        (1e-9, "1e-09"),
        (100.0, "100"),
        (2.5e8, "2.5e+08"),
    ],
)
def test_numbers_are_short_and_keep_their_integer_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_an_embedded_sheet_contains_its_pixels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 3, 1), dtype=np.uint8)
    markup = embedded(images, 2, 'with "quotes"')
    assert "with &#34;quotes&#34;" in markup
    (data,) = re.findall(r"base64,([^\"]+)", markup)
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        found = np.asarray(image)
    np.testing.assert_array_equal(found, sheet(images, 2)[..., 0])
    np.testing.assert_array_equal(found[5:9, 4:7], images[3, ..., 0])


def test_large_images_are_shrunk_and_fewer_fit_on_a_sheet() -> None:
    large = np.zeros((20, 256, 128, 3), dtype=np.uint8)
    assert fitting(large.shape, 64) == 8
    assert sheet(large[:1], 1).shape == (LARGEST, LARGEST // 2, 3)
    assert fitting((100, 8, 8, 1), 64) == 64
