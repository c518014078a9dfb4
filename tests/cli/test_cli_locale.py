"""Names in any script, whatever the locale: files are UTF-8, and a terminal shows what it can."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT

NAMES = ("Temp (°C)", "влажность", "Größe", "a_$x$ [1]", "类")
CONFIG = """
name = "plant"
description = "Größe in °C"
[data]
source = "rows.csv"
kinds = { "Temp (°C)" = "real", "Größe" = "count" }
[likelihood]
name = "mixed"
[network]
hidden = [4]
latent_dim = 2
[training]
steps = 10
"""
LOCALES = {
    "ascii": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "latin-1 terminal": {"PYTHONUTF8": "0", "PYTHONIOENCODING": "iso-8859-1"},
    "strict": {"PYTHONUTF8": "1", "PYTHONIOENCODING": "ascii:strict"},
}


def vae(locale: str, *arguments: str, at: Path) -> subprocess.CompletedProcess[bytes]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHONUTF8"))}
    path = os.pathsep.join([str(ROOT), str(ROOT / "service"), str(ROOT / "training")])
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "vaekit", *arguments],
        capture_output=True, cwd=at, timeout=120, env={**environment, "PYTHONPATH": path, **LOCALES[locale]},
    )  # fmt: skip


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plant")
    rng = np.random.default_rng(0)
    lines = [f"{rng.normal():.3f},{rng.normal():.3f},{i % 5},{rng.normal():.3f},{'赤青'[i % 2]}" for i in range(120)]
    header = ",".join(f'"{name}"' for name in NAMES)
    (folder / "rows.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    (folder / "plant.toml").write_text(CONFIG, encoding="utf-8")
    (folder / "bom.toml").write_text(CONFIG, encoding="utf-8-sig")
    return folder


@pytest.mark.parametrize("locale", list(LOCALES))
def test_every_command_takes_names_of_any_script(locale: str, plant: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    models = f"--models={tmp_path / 'models'}"
    done = vae(locale, "train", "plant.toml", models, f"--run={tmp_path / 'run'}", at=plant)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    manifest = json.loads((tmp_path / "models" / "plant" / "1" / "manifest.json").read_bytes())
    assert [column["name"] for column in manifest["input"]["columns"]] == list(NAMES)
    assert "Größe in °C" in (tmp_path / "models" / "plant" / "1" / "report" / "model-card.md").read_text(
        encoding="utf-8"
    )
    rows, out, new = str(plant / "rows.csv"), str(tmp_path / "scored.csv"), str(tmp_path / "new.csv")
    shutil.copy(rows, new)
    for command in (
        ["explain", "plant", rows, "--row=3", f"--out={tmp_path / 'row.png'}"],
        ["score", "plant", rows, out, "--explain=2", f"--summary={tmp_path / 'summary.json'}"],
        ["evaluate", "plant", rows, "-k", "1", f"--out={tmp_path / 'evaluation'}"],
        ["calibrate", "plant", new],
    ):
        done = vae(locale, *command, models, at=plant)
        assert done.returncode == 0, (command, done.stderr.decode(errors="replace"))
        assert b"Traceback" not in done.stderr
    assert Path(out).read_text(encoding="utf-8").startswith(",".join(f'"{name}"' for name in NAMES))


def test_a_terminal_shows_the_letters_that_it_has(plant: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    models = f"--models={tmp_path / 'models'}"
    assert vae("strict", "train", "bom.toml", models, f"--run={tmp_path / 'run'}", at=plant).returncode == 0
    odd = tmp_path / "odd.csv"
    odd.write_text(",".join(f'"{name}"' for name in NAMES) + "\n90,90,400,90,赤\n", encoding="utf-8")
    shown = vae("latin-1 terminal", "explain", "plant", str(odd), "--row=0", "--cells=5", models, at=plant).stdout
    text = shown.decode("iso-8859-1")
    assert "Temp (°C)" in text
    assert "Größe" in text
    assert "?????????" in text  # Cyrillic
    tree = vae("ascii", "explain", "plant", "rows.csv", "--row=3", "--cells=5", "--json", models, at=plant).stdout
    assert {cell["feature"] for cell in json.loads(tree)["cells"]} == set(NAMES)


def test_a_file_name_that_the_locale_lacks_is_one_sentence(plant: Path) -> None:
    done = vae("ascii", "train", "данные.csv", at=plant)
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: argument '\\udcd0")
    assert done.stderr.endswith(b"letters that this locale lacks: set PYTHONUTF8=1\n")


def test_every_text_file_is_opened_as_utf8() -> None:
    """A call that reads or writes text names its encoding; otherwise the locale of the machine decides."""
    missing = []
    for package in ("vaekit", "service/vaekit_service", "training/vaekit_training"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call):
                    continue
                named = {keyword.arg for keyword in node.keywords}
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                texts = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
                opens_text = name == "open" and any(text in ("r", "w", "a", "rt", "wt", "x") for text in texts)
                is_text = name in ("read_text", "write_text") or opens_text or ("text" in named and name == "run")
                if is_text and "encoding" not in named:
                    missing.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert missing == []
