"""The marks and the scored rows that the page saves are what `vae feedback` reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.page import mixed_table
from tests.page.conftest import Play
from tests.service.conftest import Process
from vaekit.cli import app

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("has_ids", [True, False], ids=["ids", "requests"])
def test_vae_feedback_reads_the_marks(
    has_ids: bool, play: Play, models_of_the_page: Path, page_tools: dict[str, str], tmp_path: Path
) -> None:
    assert page_tools
    text = mixed_table.text(250)
    if not has_ids:
        text = "\n".join(line.partition(",")[2] for line in text.splitlines()) + "\n"
    (tmp_path / "rows.csv").write_text(text, encoding="utf-8")
    service = Process("--models", str(models_of_the_page), VAE_SCORE_LOG=str(tmp_path / "scores"))
    try:
        url = service.until(r"listening on (http://\S+:\d+)")
        service.until("(try):")
        case = {"url": url, "width": 1280, "scheme": "light", "model": "machines", "file": str(tmp_path / "rows.csv")}
        ((marks, command),) = play("marks", [case])
    finally:
        service.end()
    (tmp_path / "marks.csv").write_text(marks, encoding="utf-8")
    words = [str(tmp_path / "marks.csv"), *command.split()[3:], "--json"]
    words[words.index("SCORES")] = str(tmp_path / "scores")
    done = CliRunner().invoke(app, ["feedback", *words])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert "3" in json.dumps(found)
    rates = found["rates"][0] if "rates" in found else found
    assert rates, found
