"""The pictures of the README show the figures of the benchmark pages, and what pyproject.toml says."""

from __future__ import annotations

import re
from html import unescape

import pytest

from benchmarks.readme_images import IMAGES, OURS, THEMES, badges, images, precision, throughput


def texts(svg: str) -> list[str]:
    return [unescape(text).strip() for text in re.findall(r"<text[^>]*>([^<]+)</text>", svg)]


@pytest.mark.parametrize("theme", THEMES)
def test_the_committed_chart_shows_every_figure_of_the_pages_in_order(theme: str) -> None:
    shown = texts((IMAGES / f"benchmarks-{theme}.svg").read_text(encoding="utf-8"))
    for bars, form in ((throughput(), ",.0f"), (precision(), ".1f")):
        names = [name for name, _ in bars]
        assert [text for text in shown if text in names and text != OURS] == [name for name in names if name != OURS]
        assert {f"{value:{form}}" for _, value in bars} <= set(shown)
    assert shown.count(OURS) == 2


def test_the_best_bar_comes_first() -> None:
    assert throughput()[0][0] == precision()[0][0] == OURS
    assert [name for name, _ in throughput()].count("the same, the bundle's own number of draws") == 0


def test_each_committed_image_has_the_texts_of_a_new_one() -> None:
    for name, svg in images().items():
        assert texts((IMAGES / name).read_text(encoding="utf-8")) == texts(svg), f"run {images.__module__}"


def test_the_badges_of_the_readme_say_what_the_project_says() -> None:
    readme = (IMAGES.parents[1] / "README.md").read_text(encoding="utf-8")
    for label, text in badges().items():
        assert f"![{label.replace('python', 'Python')}: {text}](docs/images/badge-{label}.svg)" in readme
