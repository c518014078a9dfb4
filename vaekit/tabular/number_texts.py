"""Recognises numbers in text that are written with other separators, and says which options read them."""

from __future__ import annotations

import re
from collections.abc import Iterable

_FORMATS: tuple[tuple[str, str], ...] = (  # how a number may be written, and the options that read it
    (r"[-+]?\d+,\d+", "--decimal ','"),
    (r"[-+]?\d{1,3}(?:\.\d{3})+(?:,\d+)?", "--decimal ',' --thousands ."),
    (r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?", "--thousands ','"),
    (r"[-+]?\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?:\.\d+)?", "--thousands ' '"),
    (r"[-+]?\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?:,\d+)?", "--decimal ',' --thousands ' '"),
    (r"[-+]?\d{1,3}(?:'\d{3})+(?:\.\d+)?", '--thousands "\'"'),
)


def options_reading(texts: Iterable[str]) -> str | None:
    """The options of a command that read all these texts as numbers; None: they are not written as numbers."""
    stripped = [text.strip() for text in texts]
    for pattern, options in _FORMATS if stripped else ():
        if all(re.fullmatch(pattern, text) for text in stripped):
            return options
    return None
