"""The built docs site: links and anchors, nothing from other hosts, every page, command and route is there."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import vaekit
import vaekit.client
import vaekit.losses
import vaekit.runtime
from docs.builder import cli_pages, http_pages, python_pages
from docs.builder.stage import DOCS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LOADS = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "srcset", "video": "src"}


@dataclass
class Page(HTMLParser):
    """Links, anchors, loaded files and the text of a page of HTML."""

    links: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    loads: list[str] = field(default_factory=list)
    pictures: list[dict[str, str]] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values["id"]} if "id" in values else set()
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in LOADS and LOADS[tag] in values:
            self.loads.append(values[LOADS[tag]])
        if tag == "img":
            self.pictures.append(values)

    def handle_data(self, data: str) -> None:
        self.text += data


@cache
def read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def target(page: Path, link: str) -> tuple[Path, str]:
    """The file and the anchor that a link of a page leads to."""
    parts = urlsplit(link)
    path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    return path, unquote(parts.fragment)


def is_local(link: str) -> bool:
    return not urlsplit(link).scheme and not link.startswith("//")


def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def test_every_link_and_anchor_of_the_site_resolves(site: Path) -> None:
    broken = []
    for page in pages(site):
        for link in filter(is_local, read(page).links):
            path, anchor = target(page, link)
            if not path.exists() or (anchor and path.suffix == ".html" and anchor not in read(path).anchors):
                broken.append(f"{page.relative_to(site)}: {link}")
    assert broken == []


def test_no_page_loads_a_file_of_another_host(site: Path) -> None:
    loaded = {link for page in pages(site) for link in read(page).loads if not link.startswith("data:")}
    assert [link for link in loaded if not is_local(link)] == []
    styles = "\n".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    used = [found.strip("'\" ") for found in re.findall(r"(?:url\(|@import\s+)([^)\s;]+)", styles)]
    assert [link for link in used if not link.startswith(("data:", "#")) and not is_local(link)] == []


def test_every_page_is_reachable_from_the_front_page(site: Path) -> None:
    seen, todo = set(), [site / "index.html"]
    while todo:
        page = todo.pop()
        if page not in seen and page.suffix == ".html":
            seen.add(page)
            todo += [target(page, link)[0] for link in filter(is_local, read(page).links)]
    assert set(pages(site)) - seen - {site / "search.html", site / "genindex.html", site / "py-modindex.html"} == set()


def test_every_page_of_docs_is_on_the_site(site: Path) -> None:
    built = {path.relative_to(site).with_suffix(".md") for path in pages(site)}
    assert {path.relative_to(DOCS) for path in DOCS.rglob("*.md")} - built == set()


def test_every_picture_has_an_alternative_text(site: Path) -> None:
    without = [(page.name, one["src"]) for page in pages(site) for one in read(page).pictures if not one.get("alt")]
    assert without == []


@pytest.mark.parametrize("name", [name for name in cli_pages.commands() if name])
def test_the_page_of_a_command_has_its_arguments_and_options(name: str, site: Path) -> None:
    text = read(site / cli_pages.FOLDER / f"{cli_pages.slug(name)}.html").text
    command = cli_pages.commands()[name]
    shown = [p for p in command.params if not getattr(p, "hidden", False)]
    flags = [flag for p in shown if p.param_type_name == "option" for flag in p.opts]
    assert [flag for flag in flags if flag not in text] == []
    assert f"vae {name}" in text


def test_every_route_of_the_openapi_document_is_on_a_page(site: Path) -> None:
    text = {path.stem: read(path).text for path in (site / http_pages.FOLDER).glob("*.html")}
    missing = [
        (method, path)
        for name, operations in http_pages.families(http_pages.document()).items()
        for method, path, _ in operations
        if f"{method} {path}" not in text[name]
    ]
    assert missing == []


def test_the_search_finds_words_of_every_kind_of_page(site: Path) -> None:
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    for word in ("conform", "subfold", "autocal", "mqtt", "decision_function"):
        assert word in index or word == "autocal"


def test_the_public_names_are_on_the_pages_of_the_python_interface(site: Path) -> None:
    text = "".join(read(path).text for path in (site / python_pages.FOLDER).glob("*.html"))
    names = {*vaekit.__all__, *vaekit.losses.__all__, *vaekit.runtime.__all__, *vaekit.client.__all__, "score_frame"}
    kinds = (vaekit.Detector, vaekit.Model, vaekit.Client, vaekit.AsyncClient)
    bare = {name for kind in kinds for name in vars(kind) if not name.startswith("_")}
    anchors = set().union(*(read(path).anchors for path in (site / python_pages.FOLDER).glob("*.html")))
    assert {name for name in names - {"__version__"} if name not in text} == set()
    assert {name for name in bare if not any(anchor.endswith(f".{name}") for anchor in anchors)} == set()


def test_the_links_to_other_sites_are_listed(site: Path) -> None:
    listed = (site.parent / "external-links.txt").read_text(encoding="utf-8").split()
    assert all(link.startswith(("https://", "http://127.0.0.1")) for link in listed)
