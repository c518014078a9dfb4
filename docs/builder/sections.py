"""The sidebar: sections and groups of pages, as docs/sections.toml orders them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from docs.builder.links import lines


@dataclass(frozen=True)
class Group:
    """Pages that the sidebar shows under one title, and the page that lists them."""

    title: str
    page: str
    pages: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """A caption of the sidebar, with its pages or groups."""

    title: str
    pages: tuple[str, ...]
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Sidebar:
    """All sections in order."""

    sections: tuple[Section, ...]

    @classmethod
    def read(cls, path: Path, texts: Mapping[str, str]) -> Self:
        """The sections of a file, completed by the pages of their folders."""
        given = tomllib.loads(path.read_text(encoding="utf-8"))["section"]
        parts = [part for section in given for part in (section, *section.get("group", ()))]
        named = {page for part in parts for page in part.get("pages", ())}
        return cls(tuple(_section(section, named, texts) for section in given))

    def add_to(self, texts: Mapping[str, str]) -> dict[str, str]:
        """The pages with the tables of contents that make the sidebar, and the pages of the groups."""
        described = descriptions(texts["index.md"])
        made = dict(texts)
        for section in self.sections:
            entries = [group.page for group in section.groups] or section.pages
            made["index.md"] += toctree(entries, "index.md", section.title)
            for group in section.groups:
                made[group.page] = _group_page(group, texts, described)
        hidden = [page for page in ("project/security.md", "files/index.md") if page in texts]
        made["project/contributing.md"] += toctree([f"{page}" for page in hidden], "project/contributing.md")
        decisions = sorted((page for page in texts if re.match(r"decisions/\d", page)), reverse=True)
        made["decisions/README.md"] += toctree(decisions, "decisions/README.md")
        return made


def toctree(pages: list[str] | tuple[str, ...], on: str, caption: str = "") -> str:
    """A hidden table of contents for the end of a page."""
    options = f":hidden:\n:caption: {caption}\n" if caption else ":hidden:\n"
    names = "\n".join("Overview <self>" if page == on else "/" + page.removesuffix(".md") for page in pages)
    return f"\n\n```{{toctree}}\n{options}\n{names}\n```\n"


def descriptions(index: str) -> dict[str, str]:
    """What the tables of the index say about each page."""
    found = re.findall(r"^\| \[[^\]]+\]\(([^)]+)\) \| (.+?) \|$", index, re.MULTILINE)
    return dict(found)


def title(text: str) -> str:
    """The first heading of a page."""
    return next(line[2:].strip() for line, is_code in lines(text) if not is_code and line.startswith("# "))


def _section(given: Mapping[str, Any], named: set[str], texts: Mapping[str, str]) -> Section:
    rest = _others(given.get("folder"), named, texts)
    if "group" not in given:
        return Section(given["title"], (*given.get("pages", ()), *rest), ())
    groups = [_group(group, given["folder"], named, texts) for group in given["group"]]
    taken = {page for group in groups for page in group.pages}
    left = tuple(page for page in rest if page not in taken)
    groups[-1] = Group(groups[-1].title, groups[-1].page, (*groups[-1].pages, *left))
    return Section(given["title"], (), tuple(groups))


def _group(given: Mapping[str, Any], folder: str, named: set[str], texts: Mapping[str, str]) -> Group:
    slug = re.sub(r"[^a-z0-9]+", "-", given["title"].lower())
    return Group(
        given["title"],
        f"{folder}/{slug}-pages.md",
        (*given.get("pages", ()), *_others(given.get("folder"), named, texts)),
    )


def _others(folder: str | None, named: set[str], texts: Mapping[str, str]) -> tuple[str, ...]:
    """The pages of a folder that no group names, in the order of the tables of index.md.

    Pages that a page of their own lists are left out.
    """
    listed = ("decisions/", "reference/commands/", "reference/http/", "reference/api/")
    order = list(descriptions(texts["index.md"]))
    below = [page for page in sorted(texts) if folder and page.startswith(f"{folder}/")]
    below.sort(key=lambda page: order.index(page) if page in order else len(order))
    return tuple(page for page in below if page not in named and not page.startswith(listed))


def _group_page(group: Group, texts: Mapping[str, str], described: Mapping[str, str]) -> str:
    rows = []
    for page in group.pages:
        said = described.get(page, "")
        rows.append(f"- [{title(texts[page])}](/{page})" + (f": {said}" if said else ""))
    return f"# {group.title}\n\n" + "\n".join(rows) + toctree(group.pages, group.page)
