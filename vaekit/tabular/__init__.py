"""Rows, data frames and Arrow columns -> the array that a model takes.

`cells` says what one cell means. Everything else here calls it: lists and arrays (`encode`), data frames (`frames`),
Arrow columns and CSV text (`arrow_cells`, `arrow_columns`, `csv_text`). Modules that need pyarrow are imported by name.
"""

from vaekit.tabular.encode import check_columns, encode, encode_numbers

__all__ = ["check_columns", "encode", "encode_numbers"]
