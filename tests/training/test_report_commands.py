"""The commands that a report names work as they are written, and a report of windows by networks is drawn."""

from __future__ import annotations

import re
import shlex
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.training.test_report import Page
from vaekit.cli import app

pytestmark = pytest.mark.slow

FASTER = ["--set", "likelihood.name=gaussian", "--set", "training.steps=20", "--set", "training.evaluate_every=10"]


def run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, (words, done.output)
    return done.output


def rows(path: Path, n: int, seed: int, *, label: bool = False) -> None:
    rng = np.random.default_rng(seed)
    load = rng.gamma(4.0, 10.0, n)
    temperature = 40 + 0.4 * load + rng.normal(0, 2, n)
    odd = np.arange(n) < n // 20
    columns = [load, np.where(odd, temperature + 40, temperature)]
    lines = [",".join(f"{cell:.4f}" for cell in row) for row in np.column_stack(columns)]
    if label:
        lines = [f"{line},{int(flag)}" for line, flag in zip(lines, odd, strict=True)]
    path.write_text("\n".join(["load,temperature" + (",fault" if label else ""), *lines]) + "\n", encoding="utf-8")


def report(folder: Path, name: str) -> str:
    return (folder / "models" / name / "1" / "report" / "report.html").read_text(encoding="utf-8")


def commands(page: str) -> list[list[str]]:
    found = re.findall(r"<pre tabindex=\"0\"><code>(.*?)</code></pre>", page)
    return [shlex.split(unescape(re.sub(r"</?span>", "", text))) for text in found]


@pytest.mark.parametrize("label", [True, False], ids=["labels", "no labels"])
def test_every_command_of_the_page_works(label: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows(tmp_path / "machines.csv", 300, 0, label=label)
    rows(tmp_path / "new.csv", 20, 1)
    rows(tmp_path / "normal.csv", 220, 2)
    (tmp_path / "labelled.csv").write_text("load,temperature,COLUMN\n40,56,0\n40,99,1\n", encoding="utf-8")
    run("train", "machines.csv", "--set", "name=machines", *(["--set", "data.label=fault"] if label else []))
    page = report(tmp_path, "machines")
    found = commands(page)
    names = [words[1] for words in found]
    assert names[:3] == ["score", "explain", "serve"]
    assert {"calibrate"} <= set(names)
    assert ("evaluate" in names) is not label
    for words in found:
        if words[1] not in ("serve", "train"):
            run(*words[1:])
    shown = Page(page).words
    assert ("Not measured:" in shown) is not label
    assert (tmp_path / "summary.png").exists()


def test_a_report_of_windows_by_networks_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    t = np.arange(700)
    values = np.column_stack([np.sin(t / 7), np.cos(t / 7)]) + np.random.default_rng(0).normal(0, 0.1, (700, 2))
    text = "\n".join(["a,b", *(f"{a:.4f},{b:.4f}" for a, b in values)])
    (tmp_path / "series.csv").write_text(text + "\n", encoding="utf-8")
    run("train", "series.csv", "--set", "data.window=6", "--set", "data.split=blocks", *FASTER)
    shown = Page(report(tmp_path, "series")).words
    assert "window that ends at time step" in shown
    assert "Traversal of dimension" in shown
