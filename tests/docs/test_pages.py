"""What happens to pages before Sphinx reads them: links, notebooks, diagrams, requests; and the gallery is complete."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from docs.builder import cli_pages, diagrams, gallery, http_pages, notebooks, theme
from docs.builder.links import Outside, lines, rewritten, with_dark
from docs.builder.sections import title
from docs.builder.stage import DOCS, PROJECT, ROOT
from vaekit.chart_style import DARK, LIGHT

PAIR = (("a", "light"), ("b", "dark"))
LARGEST = 150_000  # bytes of a picture
NOTEBOOK = f"""{notebooks.MARK}
# Title

```python
print(1)
```

```text
1
```

![One "point"](../images/one.png)

```sh
ls
```
"""


def linked(text: str) -> tuple[str, Outside]:
    outside = Outside(ROOT, PROJECT)
    return rewritten(text, "docs/how-to/page.md", "how-to/page.md", outside), outside


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("../index.md", "../index.md"),
        ("train.md#few-rows", "train.md#few-rows"),
        ("../../CHANGELOG.md", "../project/changelog.md"),
        ("../../README.md#use", "../index.md#use"),
        ("../../examples/demo.py", "../files/examples/demo.py.md"),
        ("../../models", "../files/models.md"),
        ("https://example.com/a.md", "https://example.com/a.md"),
        ("#here", "#here"),
        ("../../nothing.md", "../../nothing.md"),
    ],
)
def test_a_link_leads_to_a_page_of_the_site(link: str, expected: str) -> None:
    assert linked(f"see [a\nword]({link}).")[0] == f"see [a\nword]({expected})."


def test_a_light_picture_with_a_dark_sibling_is_two_pictures() -> None:
    text = "before\n\n![A map](../a-light.png)\n\n![B](b-light.png)"
    made = with_dark(text, {"a-light.png", "a-dark.png", "b-light.png"})
    assert made.count("{image}") == 2
    assert "../a-dark.png" in made
    assert made.endswith("![B](b-light.png)")


def test_the_link_of_a_picture_leads_to_a_page_of_the_site() -> None:
    assert linked("[![a](../images/a.png)](../../README.md)")[0] == "[![a](../images/a.png)](../index.md)"


def test_links_in_code_stay() -> None:
    text = "```text\n[a](../../README.md)\n```\n"
    assert linked(text)[0] == text


def test_a_picture_with_a_dark_version_is_two_pictures() -> None:
    text = '<picture>\n<source media="(dark)" srcset="b.svg">\n<img alt="A map" src="a.svg">\n</picture>'
    light, dark = (f"```{{image}} {name}.svg\n:alt: A map\n:class: only-{kind}\n```" for name, kind in PAIR)
    assert with_dark(text) == f"{light}\n\n{dark}"


def test_a_linked_file_gets_a_page_with_its_text() -> None:
    _, outside = linked("[demo](../../examples/demo.py)")
    page = outside.pages()["files/examples/demo.py.md"]
    assert page.startswith("# examples/demo.py\n\n```python\n")
    assert (ROOT / "examples" / "demo.py").read_text(encoding="utf-8").rstrip() in page


def test_a_fence_ends_at_its_own_mark() -> None:
    text = "````text\n```\n[a](b)\n```\n````\nprose"
    assert [line for line, is_code in lines(text) if not is_code] == ["prose"]


def test_a_notebook_becomes_code_cells_without_its_outputs() -> None:
    assert notebooks.is_notebook(NOTEBOOK)
    made = notebooks.cells(NOTEBOOK)
    assert made.startswith("---\nfile_format: mystnb\n")
    assert made.index("# Title") < made.index("{code-cell}")
    assert 'alt: "One \\"point\\""' in made
    assert "print(1)" in made
    assert "```text" not in made
    assert "one.png" not in made
    assert made.endswith("```sh\nls\n```\n")


def test_the_title_is_the_first_heading_outside_code() -> None:
    assert title("```sh\n# no\n```\n# Yes\n") == "Yes"


def test_a_flowchart_has_every_box_and_arrow() -> None:
    source = 'flowchart BT\n  a["A<br/>first"]\n  b["B"] --> a\n  c["C"] -. lazily .-> b\n  c -- "types" --> a\n'
    drawn = diagrams.flowchart(source)
    assert drawn.count("<rect") == 3
    assert drawn.count("marker-end") == 3
    assert "lazily" in drawn
    assert "types" in drawn
    assert 'aria-label="Arrows: B to A; C to B; C to A"' in drawn


def test_the_design_page_is_drawn_in_full() -> None:
    text = (DOCS / "design.md").read_text(encoding="utf-8")
    (source,) = diagrams.FENCE.findall(text)
    arrows = [line for line in source.splitlines() if "->" in line]
    assert diagrams.drawn(text).count("marker-end") == len(arrows)


def test_the_site_has_the_colours_of_the_charts() -> None:
    for palette, variables in ((LIGHT, theme.light()), (DARK, theme.dark())):
        assert variables["color-background-primary"] == palette["page"]
        assert variables["color-foreground-primary"] == palette["text"]
        assert variables["color-brand-content"] == palette["c1"]


def test_every_command_has_examples_on_its_page() -> None:
    made = cli_pages.pages()
    assert {name for name in cli_pages.commands() if name} == {
        Path(page).stem.replace("-", " ") if Path(page).stem not in ("explain-loss",) else "explain-loss"
        for page in made
        if not page.endswith("index.md")
    }
    assert [page for page, text in made.items() if "## Examples" not in text and "## Commands" not in text] == [
        f"{cli_pages.FOLDER}/index.md"
    ]


@pytest.mark.slow
def test_the_examples_of_routes_are_answered() -> None:
    made = http_pages.pages()
    assert '"is_anomaly": [false, true]' in made[f"{http_pages.FOLDER}/post-elbo.md"]
    assert len([text for text in made.values() if "## Example" in text]) > 20


def test_every_page_that_the_sidebar_names_exists_or_is_generated() -> None:
    given = tomllib.loads((DOCS / "sections.toml").read_text(encoding="utf-8"))["section"]
    named = [page for one in given for part in (one, *one.get("group", ())) for page in part.get("pages", ())]
    made = {"project/changelog.md", "project/contributing.md"}
    generated = ("reference/api/", "reference/commands/", "reference/http/")
    absent = [page for page in named if not (DOCS / page).exists() and not page.startswith(generated)]
    assert set(absent) <= made
    assert len(named) == len(set(named))


def test_the_gallery_has_every_picture() -> None:
    assert gallery.PAGE.read_text(encoding="utf-8") == gallery.written(), "python -m docs.builder.gallery renews it"


@pytest.mark.parametrize("picture", gallery.pictures(), ids=lambda path: path.name)
def test_a_picture_is_small_and_shown_with_an_alternative_text(picture: Path) -> None:
    light = picture.with_stem(picture.stem.replace(gallery.DARK, "-light"))
    uses = [one for one in gallery.shown() if one.picture == light]
    assert uses, "no page shows it"
    assert all(len(one.alt) > 10 for one in uses)
    assert picture.stat().st_size <= LARGEST
