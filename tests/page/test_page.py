"""The page in Chromium: every panel, on phones and large screens, light and dark, without errors or violations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live import serving
from tests.page import mixed_table
from tests.page.conftest import Play, screens
from tests.service.conftest import Process
from tests.service.keyed import KEYS, TEXT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MODELS = ("breast-cancer", "digits", "machines")
TABLES = ("breast-cancer", "machines")


@pytest.fixture
def rows_file(tmp_path: Path) -> str:
    """A file of rows of the mixed table, some of them spoilt."""
    path = tmp_path / "machines.csv"
    path.write_text(mixed_table.text(300), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("model", MODELS)
def test_the_page_shows_a_model(model: str, play: Play, page_url: str) -> None:
    play("model", screens(url=page_url, model=model))


def test_the_page_works_below_the_prefix_of_a_proxy(play: Play, models_dir: Path) -> None:
    with serving(models_dir, prefix="/team/vae") as url:
        play("model", [{"url": f"{url}/team/vae", "width": 390, "scheme": "light", "model": "breast-cancer"}])


@pytest.mark.parametrize("model", TABLES)
def test_rows_are_scored_flagged_marked_and_edited(model: str, play: Play, page_url: str, rows_file: str) -> None:
    play("rows", screens(url=page_url, model=model, file=rows_file))


@pytest.mark.parametrize(("delimiter", "said"), [(";", ";"), ("\t", "tabs")], ids=["semicolons", "tabs"])
def test_files_with_decimal_commas_are_read_as_they_are(
    delimiter: str, said: str, play: Play, page_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "machines.csv"
    path.write_text(mixed_table.text(60).replace(",", delimiter).replace(".", ","), encoding="utf-8")
    more = {
        "url": page_url,
        "file": str(path),
        "delimiter": delimiter,
        "said": f"Cells separated by {said}, decimal comma",
    }
    play("dialect", [{"width": 390, "scheme": "dark", **more}, {"width": 1280, "scheme": "light", **more}])


def test_rows_are_scored_marked_and_edited_by_keyboard(play: Play, page_url: str) -> None:
    play("keyboard", [{"url": page_url, "width": 1280, "scheme": "light"}])


@pytest.mark.parametrize("model", TABLES)
def test_the_page_says_what_is_wrong_with_a_slow_and_a_failing_service(model: str, play: Play, page_url: str) -> None:
    play("trouble", [{"url": page_url, "width": 390, "scheme": "dark", "model": model}])


def test_rows_are_kept_by_model_and_changes_of_the_models_are_said(play: Play, page_url: str) -> None:
    play("changes", [{"url": page_url, "width": 390, "scheme": "light"}])


@pytest.fixture
def keyed_url(models_dir: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a service with keys."""
    (tmp_path / "keys.toml").write_text(TEXT, encoding="utf-8")
    service = Process("--models", str(models_dir), "--keys-file", str(tmp_path / "keys.toml"))
    try:
        url = service.until(r"listening on (http://\S+:\d+)")
        service.until("(try):")
        yield url
    finally:
        service.end()


def test_the_page_asks_for_a_key_and_names_the_missing_scope(play: Play, keyed_url: str) -> None:
    case = {"url": keyed_url, "width": 390, "scheme": "light", "keys": KEYS, "allow": ["status of 40[13]"]}
    play("keys", [case])
