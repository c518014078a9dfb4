"""Small changes to what Sphinx reads and makes: links in docstrings, and the dashes of lists of parameters."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes

ATTRIBUTE = re.compile(r"^(:ivar \w+)_:")
PAGE = re.compile(r"\bdocs/([\w/-]+)\.md(#[\w-]+)?")


def link_pages(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Turn the paths of pages in a docstring into links, and keep the last underscore of attributes."""
    lines[:] = [ATTRIBUTE.sub(r"\1\\_:", PAGE.sub(r":doc:`/\1`", line)) for line in lines]


def plain_words(_app: Any, doctree: nodes.document) -> None:
    """Replace the ` -- ` between a parameter and its description by a colon, and the title of attributes."""
    for name in doctree.findall(nodes.field_name):
        if name.astext() == "Variables":
            name.children = [nodes.Text("Attributes")]
    for text in list(doctree.findall(nodes.Text)):
        if text == " -- " and text.parent is not None:
            text.parent.replace(text, nodes.Text(": "))
