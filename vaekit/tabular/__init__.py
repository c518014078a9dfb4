"""Converts rows, data frames and Arrow columns to the array that a model takes.

`cells` defines what one cell means. The modules for lists and arrays (`encode`), data frames (`frames`), and Arrow
columns and CSV text (`arrow_cells`, `arrow_columns`, `csv_text`) use it. Modules that need pyarrow are not imported
here.
"""

from vaekit.tabular.encode import check_columns, encode, encode_named

__all__ = ["check_columns", "encode", "encode_named"]
