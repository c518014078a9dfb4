"""Builds the sdist, and the wheel from it, out of a clean copy of the clone's files, and checks both.

python .ci/dist.py --out dist
PROJECT_URL=https://... python .ci/dist.py --out dist     also the metadata's links, and absolute links in the README

PROJECT_URL is the address of the repository's web page. Without it, the metadata has no links, and the README's links
to files of the repository lead nowhere on the page of a package index.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKED = ["LICENSE", "README.md", "pyproject.toml", "service", "training", "vaekit"]
# Targets of relative links: [text](target), src="target" and srcset="target".
LINK = re.compile(r'(\]\(|src="|srcset="|href=")(?![a-z]+:|#|/)([^)"\s]+)')
IMAGES = (".png", ".svg", ".jpg", ".webp")


def main() -> None:
    """Build into --out; the first check that fails ends the build."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder that is emptied and filled")
    out: Path = parser.parse_args().out.absolute()
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "vaekit"
        copy_files(copy)
        if url := os.environ.get("PROJECT_URL", "").rstrip("/"):
            add_links(copy, url)
        build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(copy)]
        run_quietly(build, {**os.environ, "SOURCE_DATE_EPOCH": last_commit()})
    built = sorted(map(str, out.iterdir()))
    run_quietly([sys.executable, "-m", "twine", "check", "--strict", *built], dict(os.environ))
    print(*built, sep="\n")


def run_quietly(command: list[str], environment: dict[str, str]) -> None:
    """Run a command; its output is shown only if it fails."""
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SystemExit(f"{done.stdout}\nerror: {' '.join(command)} failed")


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def last_commit() -> str:
    """When the last commit was made, in seconds: the date of every file in the wheel."""
    return os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct").strip()


def copy_files(copy: Path) -> None:
    """Copy the files that are packed, without those that git ignores: no caches, and no rest of an earlier build."""
    for name in git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *PACKED).split("\0"):
        if name and (ROOT / name).exists():  # a file may be deleted but not yet committed
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy / name)


def add_links(copy: Path, url: str) -> None:
    """Add the project's links to the metadata, and make the README's links absolute."""
    version = re.search(r'__version__ = "(.+)"', (ROOT / "vaekit" / "_version.py").read_text(encoding="utf-8"))
    assert version is not None
    blob, raw = f"{url}/blob/v{version[1]}", f"{url}/raw/v{version[1]}"
    project = copy / "pyproject.toml"
    links = {"Source": url, "Documentation": f"{blob}/docs/index.md", "Changelog": f"{blob}/CHANGELOG.md"}
    table = "\n".join(["[project.urls]", *(f'{name} = "{link}"' for name, link in links.items()), "", ""])
    text = project.read_text(encoding="utf-8")
    project.write_text(text.replace("[project.scripts]\n", f"{table}[project.scripts]\n"), encoding="utf-8")
    readme = copy / "README.md"
    readme.write_text(absolute_links(readme.read_text(encoding="utf-8"), blob, raw), encoding="utf-8")


def absolute_links(text: str, blob: str, raw: str) -> str:
    """The text with absolute links: of images to the file itself, of others to its page."""

    def absolute(found: re.Match[str]) -> str:
        before, target = found.groups()
        return f"{before}{raw if target.endswith(IMAGES) else blob}/{target.removeprefix('./')}"

    return LINK.sub(absolute, text)


if __name__ == "__main__":
    main()
