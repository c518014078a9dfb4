"""Prepares the folder that Sphinx reads: the pages of docs/, changed for the site, and the generated ones."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from docs.builder import cli_pages, diagrams, gallery, http_pages, notebooks, python_pages
from docs.builder.links import Outside, rewritten, with_dark
from docs.builder.sections import Sidebar, title

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PROJECT = {  # pages of the repository's root that the site includes
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "README.md": "index.md",
}
NOT_COPIED = {"builder", "conf.py", "sections.toml", "__pycache__"}


def stage(target: Path) -> bool:
    """Write all pages and pictures of the site under a folder. Files that stay the same keep their time.

    Returns:
        Whether pages were added or removed, or have another title.
    """
    outside = Outside(ROOT, PROJECT)
    pages = {name: (f"docs/{name}", text) for name, text in _own_pages().items()}
    pages |= {name: (path, _read(path)) for path, name in PROJECT.items() if name not in pages}
    pages["gallery.md"] = ("docs/gallery.md", gallery.grid(gallery.written()))
    texts = {name: _for_site(rewritten(text, path, name, outside)) for name, (path, text) in pages.items()}
    texts["reference/cli.md"] = cli_pages.without_tables(texts["reference/cli.md"])
    texts |= cli_pages.pages() | http_pages.pages() | python_pages.pages()
    texts |= outside.pages()
    texts = Sidebar.read(DOCS / "sections.toml", texts).add_to(texts)
    before = _titles(target)
    _write(target, {name: text.encode() for name, text in texts.items()} | _pictures())
    return _titles(target) != before


def _read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def _for_site(text: str) -> str:
    """A page with what only a code host draws, and with its notebook's cells."""
    text = notebooks.cells(text) if notebooks.is_notebook(text) else text
    return diagrams.drawn(with_dark(text, {path.name for path in gallery.pictures()}))


def _titles(target: Path) -> dict[str, str]:
    """The title of each page, and the tables of contents."""
    texts = {str(path.relative_to(target)): path.read_text(encoding="utf-8") for path in target.rglob("*.md")}
    return {name: title(text) + "".join(text.split("```{toctree}")[1:]) for name, text in texts.items()}


def _own_pages() -> dict[str, str]:
    return {str(path.relative_to(DOCS)): path.read_text(encoding="utf-8") for path in _files() if path.suffix == ".md"}


def _pictures() -> dict[str, bytes]:
    return {str(path.relative_to(DOCS)): path.read_bytes() for path in _files() if path.suffix != ".md"}


def _files() -> list[Path]:
    found = [path for path in DOCS.rglob("*") if path.is_file()]
    return sorted(path for path in found if not NOT_COPIED & set(path.relative_to(DOCS).parts))


def _write(target: Path, files: dict[str, bytes]) -> None:
    """Make the folder hold exactly these files."""
    for path in [path for path in target.rglob("*") if path.is_file()]:
        if str(path.relative_to(target)) not in files:
            path.unlink()
    for name, content in files.items():
        path = target / name
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for folder, below, inside in os.walk(target, topdown=False):
        if not below and not inside:
            shutil.rmtree(folder)
