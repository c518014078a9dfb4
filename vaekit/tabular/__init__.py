"""Converts rows, data frames and Arrow columns to the array that a model takes.

`cells` defines what one cell means. All other modules use it: lists and arrays (`encode`), data frames (`frames`),
Arrow columns and CSV text (`arrow_cells`, `arrow_columns`, `csv_text`). Import the modules that need pyarrow by name.
"""

from vaekit.tabular.encode import check_columns, encode, encode_named

__all__ = ["check_columns", "encode", "encode_named"]
