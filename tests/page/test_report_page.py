"""Training reports in Chromium: on phones and large screens, light and dark, folded and open, without violations."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.page.conftest import Play, screens
from tests.training.reported import facts_of
from vaekit_training.report.page import html, sections

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

KINDS = {
    "table": "members, mixed, missing cells",
    "images": "bernoulli, grey images",
    "kernels": "kernel prior, missing cells",
}


@pytest.mark.parametrize("name", KINDS)
def test_a_report_opens_with_the_answer_and_fits_the_screen(name: str, play: Play, tmp_path: Path) -> None:
    facts = facts_of(KINDS[name])
    path = tmp_path / "report.html"
    path.write_text(html(facts, sections(facts), facts.manifest), encoding="utf-8")
    leads = play("report", screens(url=path.as_uri(), model=name))
    assert {lead.partition(":")[0] for lead in leads} == {"No alarms yet"}  # 8 calibration rows
