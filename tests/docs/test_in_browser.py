"""The docs site in Chromium, at two widths, light and dark."""

from __future__ import annotations

import pytest

from tests.page.conftest import Play, screens

PAGES = [
    "index.html",
    "gallery.html",
    "design.html",
    "tutorials/sensors.html",
    "tutorials/latents.html",
    "explanation/calibration.html",
    "reference/wire.html",
    "reference/commands/score.html",
    "reference/http/post-elbo.html",
    "reference/http/objects.html",
    "reference/api/detector.html",
    "reference/benchmarks/detection.html",
]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_pages_are_accessible_and_fit_the_window(play: Play, site_url: str) -> None:
    play("../../docs/pages", screens(url=site_url, pages=PAGES))
