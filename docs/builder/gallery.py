"""The gallery: every picture of docs/images, with the page that shows it.

python -m docs.builder.gallery writes docs/gallery.md.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docs.builder.links import lines
from docs.builder.sections import title

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGE = DOCS / "gallery.md"
IMAGES = DOCS / "images"
SUFFIXES = (".png", ".svg")
BADGE = "badge-"  # the start of the name of a picture that the gallery leaves out
DARK = "-dark"  # the end of the name of a picture's dark version
SHOWN = re.compile(r"!\[((?:[^\]\\]|\\.)*)\]\(([^)\s]+)\)")
TAG = re.compile(r"<(?:img|source)\s[^>]*>")
HEADINGS = {
    "tutorials": "Tutorials",
    "how-to": "How-to guides",
    "explanation": "Explanation",
    "reference": "Reference and benchmarks",
    "decisions": "Decisions",
    "": "README and front page",
}
HEAD = """<!-- renewed by: python -m docs.builder.gallery -->
# Gallery

Every picture of the documentation. Each leads to the page that shows it and says how it is made.
"""


@dataclass(frozen=True)
class Shown:
    """A picture where a page shows it."""

    picture: Path
    alt: str
    page: Path


def shown() -> list[Shown]:
    """The pictures of docs/images that README and the pages show, the gallery excluded."""
    pages = [path for path in sorted(DOCS.rglob("*.md")) if path != PAGE]
    return [one for page in (*pages, ROOT / "README.md") for one in _of(page)]


def pictures() -> list[Path]:
    """The files of docs/images."""
    return sorted(path for path in IMAGES.rglob("*") if path.suffix in SUFFIXES)


def written() -> str:
    """The text of docs/gallery.md."""
    first: dict[Path, Shown] = {}
    for one in shown():
        if not one.picture.stem.endswith(DARK) and not one.picture.name.startswith(BADGE):
            first.setdefault(one.picture, one)
    parts = [HEAD]
    for folder, heading in HEADINGS.items():
        members = [one for one in first.values() if _folder(one.page) == folder]
        if members:
            parts.append(f"## {heading}\n\n" + "\n\n".join(map(_entry, members)) + "\n")
    return "\n".join(parts)


def grid(text: str) -> str:
    """The gallery with each section as a grid of thumbnails."""
    sections = re.split(r"^(## .+)$", text, flags=re.MULTILINE)
    made = [sections[0]]
    for heading, body in zip(sections[1::2], sections[2::2], strict=True):
        entries = [entry for entry in body.strip().split("\n\n") if entry]
        inner = "\n".join(f":::{{container}} picture\n{entry}\n:::\n" for entry in entries)
        made.append(f"{heading}\n\n::::{{container}} pictures\n{inner}\n::::\n\n")
    return "".join(made)


def _of(page: Path) -> Iterator[Shown]:
    text = "\n".join(line for line, is_code in lines(page.read_text(encoding="utf-8")) if not is_code)
    found = [(alt, source) for alt, source in SHOWN.findall(text)]
    for tag in TAG.findall(text):
        values = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        found.append((values.get("alt", ""), values.get("src", "") or values.get("srcset", "")))
    for alt, source in found:
        picture = (page.parent / source).resolve()
        if IMAGES in picture.parents:
            yield Shown(picture, " ".join(alt.split()), page)


def _folder(page: Path) -> str:
    inside = page.relative_to(DOCS).parts if DOCS in page.parents else ("",)
    return inside[0] if len(inside) > 1 else ""


def _entry(one: Shown) -> str:
    page, picture = os.path.relpath(one.page, DOCS), os.path.relpath(one.picture, DOCS)
    return f"[![{one.alt}]({picture})]({page})\n[{title(one.page.read_text(encoding='utf-8'))}]({page})"


def main() -> None:
    """Write the page."""
    PAGE.write_text(written(), encoding="utf-8")


if __name__ == "__main__":
    main()
