"""Refuses columns of text that are meant as numbers; as text they would be left out, or become categories."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit.tabular.cells import is_missing as is_missing_cell
from vaekit.tabular.cells import spells_missing
from vaekit.tabular.columns import listed
from vaekit.tabular.number_texts import options_reading
from vaekit_training.data.cells import reads_as_number
from vaekit_training.data.looks import FEWEST_TEXTS, NUMBERS, excluding, kind_setting, notation


def refuse_other_notation(columns: Mapping[str, NDArray[Any]], source: str, *, is_csv: bool) -> None:
    """Refuse columns of numbers whose separators are not those of the settings, such as decimal commas.

    Args:
        columns: those whose kind is not given as a category.
        source: where they come from; 'memory': rows from Python.
        is_csv: whether options say how the file writes numbers.

    Raises:
        InputError: names these columns, a cell, and what to do.
    """
    found: dict[str, list[str]] = {}
    cells: dict[str, str] = {}
    for name, values in columns.items():
        if values.dtype.kind == "O" and (written := notation(values)) is not None:
            options, cells[name] = written
            found.setdefault(options, []).append(name)
    if not found:
        return
    said = "; ".join(
        f"{listed(names)}, such as {cells[names[0]]!r}: "
        + (f"{options} reads them" if is_csv else "convert them to numbers")
        for options, names in found.items()
    )
    first, where = next(iter(cells)), "" if source == "memory" else f"data {source!r}: "
    raise InputError(
        f"{where}{len(cells)} {'columns are' if len(cells) > 1 else 'column is'} text that looks like numbers: {said}. "
        f"If a column is no number, use {kind_setting(first, 'category', source)} or {excluding(first, source)}"
    )


def _missing_values(texts: list[str], source: str) -> str:
    """The setting that reads these texts as missing cells."""
    if source == "memory":
        return f'settings={{"data": {{"missing_values": {json.dumps(texts, ensure_ascii=False)}}}}}'
    return f'--set data.missing_values="{texts}"'


def refuse_stray_text(source: str, name: str, values: NDArray[Any], *, is_csv: bool) -> None:
    """Refuse a column of numbers with a few cells of text; otherwise it would become a category or be left out.

    A column whose text cells are all numbers is allowed as a category, such as postcodes.

    Raises:
        InputError: names the first such cell, and what to do.
    """
    cells = values.tolist() if values.dtype.kind in "OU" else []
    there = [(row, cell) for row, cell in enumerate(cells) if not is_missing_cell(cell)]
    bad = [(row, cell) for row, cell in there if isinstance(cell, str) and not reads_as_number(cell)]
    if is_csv:
        bad = [(row, cell) for row, cell in bad if not spells_missing(cell)]
    if not bad or len(bad) >= NUMBERS * len(there):
        return
    row, cell = bad[0]
    numbers = sum(reads_as_number(cell) for _, cell in there)
    where = "" if source == "memory" else f"data {source!r}: "
    texts = list(dict.fromkeys(cell.strip() for _, cell in bad))
    options = options_reading(texts) if is_csv else None
    written = "" if options is None else f" Use {options} if it is a number, or correct it."
    reading = f" or use {_missing_values(texts, source)}" if len(texts) <= FEWEST_TEXTS else ""
    correct = f"Empty it{reading}" if written else f"Correct the cell, empty it{reading}"
    raise InputError(
        f"{where}row {row}, feature {name!r}: not a number: {cell!r}; {numbers} of the column's {len(there)} cells are "
        f"numbers.{written} {correct} if the value is missing, or use "
        f"{kind_setting(name, 'category', source)} or {excluding(name, source)}"
    )
