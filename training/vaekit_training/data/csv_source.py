"""Reads a CSV file as columns, each typed by the text of its cells."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit.tabular.columns import refuse_duplicate_names
from vaekit.tabular.levels import level_text
from vaekit_training.data.arrow import from_arrow
from vaekit_training.sections import DataConfig

LONGEST_HEADER = 2**20  # bytes


def read_csv(path: Path, config: DataConfig | None = None) -> dict[str, NDArray[Any]]:
    """The columns of a file by name.

    Args:
        path: of the file.
        config: says how cells are separated and numbers written.

    Raises:
        InputError: the file is no table in UTF-8, or two columns have one name.
    """
    import pyarrow as pa
    from pyarrow import csv

    from vaekit.tabular.csv_text import IS_WORKBOOK, WORKBOOK, CsvDialect, check_quotes, header, parse_options

    where = f"data {str(path)!r}"
    dialect = CsvDialect() if config is None else CsvDialect(config.delimiter, config.decimal, config.thousands)
    with path.open("rb") as file:
        first = file.readline(LONGEST_HEADER)
        if first.startswith(WORKBOOK):
            raise InputError(f"{where}: {IS_WORKBOOK}")
        if not _is_utf8(first):
            raise InputError(f"{where}: the header is not UTF-8 text: save the file as UTF-8")
    check_quotes(lambda: path.open("rb"), where, dialect)
    names, _ = header(lambda: path.open("rb"), where, dialect, errors="replace")
    refuse_duplicate_names(names, f"{where}: ")
    parsing = parse_options(names, dialect)
    options = csv.ConvertOptions(column_types={name: pa.large_binary() for name in names})
    reading = csv.ReadOptions(column_names=names, skip_rows_after_names=1)
    try:
        table = csv.read_csv(path, read_options=reading, parse_options=parsing, convert_options=options)
    except pa.ArrowInvalid as exc:
        raise InputError(f"{where}: {_where(path, parsing, names, dialect) or exc}") from exc
    missing = () if config is None else config.missing_values
    return {name: from_arrow(_typed(table, name, where, dialect, missing)) for name in table.column_names}


def _typed(table: Any, name: str, where: str, dialect: Any, missing: tuple[float | str, ...]) -> Any:
    """A bytes column as text, typed by the text of its cells; `missing`: cells that stand for a missing value."""
    import pyarrow as pa

    from vaekit.tabular.csv_text import infer_type

    cells = pa.concat_arrays(table.column(name).chunks) if table.num_rows else pa.array([], pa.large_binary())
    try:
        return infer_type(cells.cast(pa.large_string()), dialect, {level_text(value) for value in missing})
    except pa.ArrowInvalid as exc:
        row = next((i for i, cell in enumerate(cells.to_pylist()) if not _is_utf8(cell)), None)
        if row is None:
            raise
        said = f"row {row}, feature {name!r}: not UTF-8 text: save the file as UTF-8"
        raise InputError(f"{where}: {said}") from exc


def _where(path: Path, parsing: Any, names: list[str], dialect: Any) -> str | None:
    """Describes the first row whose number of cells differs from the header's; None if there is none.

    pyarrow counts the header as row 1, and counts rows only when it reads with one thread.
    """
    from pyarrow import csv

    from vaekit.tabular.csv_text import one_column

    uneven: list[tuple[int, int, int]] = []

    def on_odd(row: Any) -> Literal["skip"]:
        uneven.append((row.number - 2, row.actual_columns, row.expected_columns))
        return "skip"

    with suppress(ValueError):
        csv.read_csv(
            path,
            read_options=csv.ReadOptions(use_threads=False),
            parse_options=csv.ParseOptions(
                delimiter=dialect.delimiter,
                newlines_in_values=True,
                ignore_empty_lines=parsing.ignore_empty_lines,
                invalid_row_handler=on_odd,
            ),
        )
    if not uneven:
        return None
    hint = ""
    if (other := dialect.other(names)) is not None:
        hint = f": {one_column(names[0], other, lambda: path.open('rb'))}"
    elif len(names) == 1:
        hint = f", {names[0]!r}; delete lines above the header"
    return f"row {uneven[0][0]}: {uneven[0][1]} cells, but the header has {uneven[0][2]}{hint}"


def _is_utf8(cell: bytes | None) -> bool:
    try:
        return cell is None or cell.decode() is not None
    except UnicodeDecodeError:
        return False
