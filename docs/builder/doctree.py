"""Small changes to what Sphinx reads and makes: links in docstrings, and the dashes of lists of parameters."""

from __future__ import annotations

import re
from itertools import groupby
from typing import Any

from docutils import nodes
from sphinx import addnodes

ARRAY = re.compile(
    r"~?(?:numpy\.)?ndarray\[tuple\[~?(?:typing\.)?Any, \.\.\.\], ~?(?:numpy\.)?dtype\[~?(?:numpy\.|typing\.)?(\w+)\]\]"
)
ATTRIBUTE = re.compile(r"^(:ivar \w+)_:")
BRANCH = "├──"  # in a paragraph that draws a tree
PAGE = re.compile(r"\bdocs/([\w/-]+)\.md(#[\w-]+)?")


def _code(tree: list[str]) -> list[str]:
    """A paragraph that draws a tree, as a block of code."""
    return ["::", "", *(f"    {line}" for line in tree)]


def short_types(
    _app: Any, _what: str, _name: str, _object: Any, _options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Write types of arrays as the code does, and leave out what a default is made by."""
    return _short(signature), _short(returned)


def _short(text: str | None) -> str | None:
    return None if text is None else ARRAY.sub(r"NDArray[\1]", text).replace("<factory>", "...")


def link_pages(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Make links of the paths of pages and code of trees, and keep the last underscore of attributes."""
    paragraphs = [list(group) for _, group in groupby(lines, key=lambda line: bool(line.strip()))]
    lines[:] = [line for one in paragraphs for line in (_code(one) if any(BRANCH in line for line in one) else one)]
    lines[:] = [ATTRIBUTE.sub(r"\1\\_:", PAGE.sub(r":doc:`/\1`", line)) for line in lines]


def plain_words(_app: Any, doctree: nodes.document) -> None:
    """Replace the ` -- ` between a parameter and its description by a colon, and the title of attributes."""
    for name in doctree.findall(nodes.field_name):
        if name.astext() == "Variables":
            name.children = [nodes.Text("Attributes")]
    for annotation in doctree.findall(addnodes.desc_annotation):
        if ARRAY.search(annotation.astext()):
            annotation.children = [nodes.Text(_short(annotation.astext()) or "")]
    for text in list(doctree.findall(nodes.Text)):
        if text == " -- " and text.parent is not None:
            text.parent.replace(text, nodes.Text(": "))
