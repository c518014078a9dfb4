"""The page with models by folds, of windows, and of format 1.0."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import ROOT
from tests.kinds import Published, series_columns
from tests.page.conftest import Play
from tests.service.conftest import Process

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SCREENS = [{"width": 390, "scheme": "dark"}, {"width": 1280, "scheme": "light"}]


@pytest.fixture(scope="module")
def url(
    page_tools: dict[str, str], folded: Published, windowed: Published, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a service with these models."""
    assert page_tools
    root = tmp_path_factory.mktemp("others")
    for folder in (folded.folder, windowed.folder, ROOT / "tests" / "old" / "sensors"):
        shutil.copytree(folder, root / folder.name)
    without_calibration(root, "sensors")
    service = Process("--models", str(root))
    try:
        found = service.until(r"listening on (http://\S+:\d+)")
        service.until("(try):")
        yield found
    finally:
        service.end()


def without_calibration(root: Path, name: str) -> None:
    """Add a copy of a model that has no held-out scores."""
    shutil.copytree(root / name, root / "uncalibrated")
    manifest = root / "uncalibrated" / "1" / "manifest.json"
    told = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(json.dumps({**told, "name": "uncalibrated", "calibration": None}), encoding="utf-8")


def test_a_model_without_held_out_scores_has_scores_and_no_verdicts(play: Play, url: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("load,stops,colour\n0.1,2,red\n0.2,3,blue\n", encoding="utf-8")
    more = {"model": "uncalibrated", "file": str(file), "badge": ".badge.quiet"}
    play("others", [{**screen, "url": url, **more} for screen in SCREENS])


def test_a_model_by_folds_has_a_bound_of_the_false_alarms(play: Play, url: str) -> None:
    play("others", [{**screen, "url": url, "model": "folded", "said": "with 3 folds"} for screen in SCREENS])


def test_novel_rows_of_an_old_bundle_have_a_verdict_and_no_score(play: Play, url: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("load,stops,colour\n0.1,2,red\n0.2,3,violet\n", encoding="utf-8")
    more = {"model": "sensors", "file": str(file), "badge": '[data-row="1"] .badge.novel'}
    play("others", [{**screen, "url": url, **more} for screen in SCREENS])


def test_time_steps_of_a_series_are_scored(play: Play, url: str, tmp_path: Path) -> None:
    file = tmp_path / "steps.csv"
    pd.DataFrame(series_columns(40, gap=None)).to_csv(file, index=False)
    more = {"model": "windowed", "file": str(file), "badge": ".badge.normal", "refused": "cannot be edited"}
    play("others", [{**screen, "url": url, **more} for screen in SCREENS])
