"""Infers the content of a column: numbers, levels, dates, an id, or numbers that are not written as numbers."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vaekit.tabular.cells import spells_missing
from vaekit.tabular.label_names import named_as_label
from vaekit.tabular.number_texts import options_reading
from vaekit_training.data.cells import MOST_LEVELS, is_missing, reads_as_number, unknown

FEW = 10  # a column with at most this many levels is a category, even if there are few rows
FEWEST = 20  # cells; whole numbers that all differ are no id if there are fewer
FEWEST_TEXTS = 3  # different texts of a column that look like numbers
DENSE = 0.5  # share of the whole numbers between the smallest and the largest that an id in any order takes
NUMBERS = 0.5  # share of formatted numbers among text cells, above which a column is one of numbers

Content = Literal["number", "binary", "boolean", "category", "name", "date", "empty", "index", "id", "other"]
LEFT_OUT: dict[Content, str] = {
    "index": "a file's index",
    "id": "whole numbers that all differ, and are in order, without gaps or named like an id",
    "date": "dates",
    "empty": "no values",
    "name": f"text that differs in most rows, or has more than {MOST_LEVELS} levels",
    "other": "cells that are not numbers, booleans, text or dates",
}
_ID = re.compile(r"(?i:(?:^|[_\W])(?:id|ids|uuid|guid|key|index|idx|row|rownum|nr|no|serial)(?:$|[_\W]))|[a-z]I[dD]$")
MOST_LABELS = 20  # levels of a column that looks like a label
_DATE = re.compile(  # of any country, with a year of four digits, and a time or none
    r"(?:\d{4}([./-])\d{1,2}\1\d{1,2}|\d{1,2}([./-])\d{1,2}\2\d{4})"
    r"(?:[ T]\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?\S*(?: [AP]M)?)?"
)
_UNIT = re.compile(r"[-+]?([^\w\s.,+()-]{0,3})\s*([-+]?(?!0\d)\d[\d.,' ]*|[-+]?[.,]\d+)\s*([^\d\s]{0,6})")


def toml_key(name: str) -> str:
    """A key in TOML syntax, quoted if necessary."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f"'{name}'"


def shell_word(name: str) -> str:
    """A name as a word of a shell command, quoted if necessary."""
    return shlex.quote(name)


def label_remarks(columns: Mapping[str, NDArray[Any]]) -> list[str]:
    """What to say of the columns of data that has no label: those that look like labels, by name and few levels."""
    found = []
    for name, values in columns.items():
        levels = Counter(str(cell) for cell in values[~is_missing(values)].tolist())
        if named_as_label(name) and 1 < len(levels) <= MOST_LABELS:
            rarest = min(levels, key=lambda level: levels[level])
            rarest = rarest[:-2] if re.fullmatch(r"-?\d+\.0", rarest) else rarest
            word = shell_word(name)
            found.append(
                f"column {name!r} looks like a label, and is modelled as any other column: --label {word} --anomaly "
                f"{shell_word(rarest)} keeps the rows with {rarest!r} out of training and measures how well they are "
                f"found; --exclude {word} leaves the column out"
            )
    return found or ["all rows are treated as normal; if a column marks known anomalies, name it with --label COLUMN"]


def kind_setting(name: str, kind: str, source: str) -> str:
    """How to set the kind of a column: the option, or for rows from Python ('memory') the argument of Detector."""
    if source == "memory":
        return f'settings={{"data": {{"kinds": {{{json.dumps(name, ensure_ascii=False)}: "{kind}"}}}}}}'
    return f"--set data.kinds.{toml_key(name)}={kind}"


def excluding(name: str, source: str) -> str:
    """The option that leaves a column out; for rows from Python the setting."""
    return (
        f'settings={{"data": {{"exclude": {json.dumps([name], ensure_ascii=False)}}}}}'
        if source == "memory"
        else f"--exclude {shell_word(name)}"
    )


def left_out(content: Content, names: Sequence[str], source: str) -> str:
    """The remark on columns of a source that are left out because of their content."""
    keep = "" if content in ("empty", "other") else f"; {kind_setting(names[0], 'KIND', source)} keeps one"
    return f"columns left out ({LEFT_OUT[content]}): {', '.join(name or repr(name) for name in names)}{keep}"


def content_of(name: str, values: NDArray[Any], *, has_values: bool = True) -> Content:
    """The content of a column, inferred from its name and cells.

    Args:
        name: of the column.
        values: its cells, (n,).
        has_values: whether it has values, in these rows or in others.
    """
    missing = is_missing(values)
    there = values[~missing]
    if not len(there):
        return "empty" if not has_values else "number" if values.dtype.kind == "f" else "category"
    if values.dtype.kind in "iuf":
        if set(np.unique(there[:FEW])) <= {0, 1} and set(np.unique(there)) == {0, 1}:
            return "binary"
        return "id" if is_id(name, there) else "number"
    if values.dtype.kind in "Mm":
        return "date"
    if unknown(values, missing) is not None:
        return "other"
    levels = set(there.tolist())
    if all(isinstance(level, bool) for level in levels):
        return "boolean"
    if not any(isinstance(level, str) for level in levels):
        return "id" if is_id(name, there.astype(np.float64)) else "number"
    if all(isinstance(level, str) and _DATE.fullmatch(level.strip()) for level in levels):
        return "date"
    return "name" if len(levels) > min(MOST_LEVELS, max(FEW, len(there) // 2)) else "category"


def is_id(name: str, values: NDArray[Any]) -> bool:
    """Whether numbers (n,) are an id or a count of the rows: whole, all different, and in order, dense, or named so."""
    if len(values) < FEWEST or not np.isfinite(values).all() or (values != np.trunc(values)).any():
        return False
    ordered = np.sort(values)
    if (ordered[1:] == ordered[:-1]).any():
        return False
    steps = values[1:] > values[:-1]
    dense = len(values) >= DENSE * (float(ordered[-1]) - float(ordered[0]) + 1)
    return bool(steps.all() or not steps.any() or dense or _ID.search(name))


def identifies(name: str, values: NDArray[Any]) -> bool:
    """Whether cells (n,) are an id of the rows that can be shown: named so, without a missing or a repeated one."""
    return _ID.search(name) is not None and not is_missing(values).any() and len(set(values.tolist())) == len(values)


def formatted(values: NDArray[Any], *, in_file: bool) -> str | None:
    """What to do about a column of text (n,) whose cells are numbers, written in another way; None if they are not.

    Args:
        values: the cells.
        in_file: whether options say how the file writes numbers.
    """
    odd = _odd_texts(values)
    if (options := options_reading(odd)) is not None:
        return f"{options} reads {odd[0]!r}" if in_file else "convert it to numbers"
    found = [_UNIT.fullmatch(text) for text in odd]
    units = {f"{one[1]}{one[3]}" if one else "" for one in found}
    if len(units) == 1 and "" not in units:
        return f"remove the {units.pop()!r} to model it as numbers"
    return None


def notation(values: NDArray[Any]) -> tuple[str, str] | None:
    """(the options that read a column of text (n,) as numbers, one of its cells); None if no options do."""
    odd = _odd_texts(values)
    options = options_reading(odd)
    return None if options is None else (options, odd[0])


def _odd_texts(values: NDArray[Any]) -> list[str]:
    """The different texts that are no plain numbers, if they are several and at least half of the texts; else none."""
    texts = [cell.strip() for cell in values.tolist() if isinstance(cell, str) and cell.strip()]
    odd = [text for text in dict.fromkeys(texts) if not reads_as_number(text) and not spells_missing(text)]
    return [] if len(odd) < FEWEST_TEXTS or len(odd) < NUMBERS * len(set(texts)) else odd
