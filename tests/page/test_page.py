"""The page in Chromium: every panel, on phones and large screens, light and dark, without errors or violations."""

from __future__ import annotations

import pytest

from tests.page.conftest import Play, screens

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MODELS = ("breast-cancer", "digits", "machines")


@pytest.mark.parametrize("model", MODELS)
def test_the_page_shows_a_model(model: str, play: Play, page_url: str) -> None:
    play("model", screens(url=page_url, model=model))
