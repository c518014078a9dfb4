"""How the CSV files of a model are written: as the file it was trained on, unless told otherwise."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from vaekit.errors import InputError
from vaekit.tabular.csv_text import PLAIN, CsvDialect

CONFIG_FILE = "config.toml"


def trained_dialect(folder: Path) -> CsvDialect:
    """How the training file of a bundle was written, by [data] of its config; commas and points without a config."""
    try:
        data = tomllib.loads((folder / CONFIG_FILE).read_text(encoding="utf-8")).get("data", {})
        given: dict[str, Any] = {key: data[key] for key in ("delimiter", "decimal", "thousands") if key in data}
        return CsvDialect(**given)
    except (OSError, ValueError, AttributeError, TypeError, InputError):  # nobody needs the config but for this
        return PLAIN


def chosen_dialect(
    trained: CsvDialect, delimiter: str | None = None, decimal: str | None = None, thousands: str | None = None
) -> CsvDialect:
    """`trained`, with what was chosen in its place; None: not chosen.

    A separator of thousands that was not chosen gives way to the same decimal separator.

    Raises:
        InputError: a value is not one of its choices, or both separators are the same.
    """
    if thousands is None:
        thousands = "" if decimal == trained.thousands else trained.thousands
    return CsvDialect(
        trained.delimiter if delimiter is None else delimiter,
        trained.decimal if decimal is None else decimal,
        thousands,
    )
