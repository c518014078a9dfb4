"""Makes the pictures of the training report and of the summary of a scoring run: python -m docs.builder.report_pictures

It trains examples/breast-cancer.toml and scores all 569 rows of that data. It needs Chromium.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"
COLOURS = 128  # of a PNG: enough for text and flat colours
SCREENS = {"report-wide": (1000, 1180)}  # pixels
ROWS = """
from sklearn.datasets import load_breast_cancer
frame = load_breast_cancer(as_frame=True).data
frame.to_csv("rows.csv", index=False)
"""


def main() -> None:
    """Write report-wide.png and score-summary.png into docs/images."""
    with tempfile.TemporaryDirectory(prefix="vaekit-pictures-") as name:
        folder = Path(name)
        _run(folder, "-m", "vaekit", "train", str(ROOT / "examples" / "breast-cancer.toml"))
        _run(folder, "-c", ROWS)
        _run(
            folder,
            "-m",
            "vaekit",
            "score",
            "breast-cancer",
            "rows.csv",
            "scored.csv",
            "--summary",
            "score-summary.json",
        )
        for picture, size in SCREENS.items():
            _screenshot(folder, folder / "models/breast-cancer/1/report/report.html", picture, size)
        for picture in (*SCREENS, "score-summary"):
            _save(folder / f"{picture}.png", IMAGES / f"{picture}.png")


def _run(folder: Path, *words: str) -> None:
    subprocess.run([sys.executable, *words], cwd=folder, check=True)


def _screenshot(folder: Path, page: Path, picture: str, size: tuple[int, int]) -> None:
    """The upper part of a page as Chromium shows it."""
    program = shutil.which("chromium") or "chromium"
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={folder / 'chromium'}",
    ]
    flags += [f"--window-size={size[0]},{size[1]}", f"--screenshot={folder / picture}.png", page.as_uri()]
    subprocess.run([program, *flags], check=True, capture_output=True)


def _save(source: Path, target: Path) -> None:
    with Image.open(source) as image:
        image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)
    print(f"{target.relative_to(ROOT)}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
