"""Checks the lengths of the strings in category columns before they are decoded; Arrow does not limit them.

With a dictionary, or with views of one buffer, many cells can share one string that is as long as the body. Decoding
copies the string for each cell, and even validating a view reads all of its bytes, so the lengths are checked first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vaekit.bundle.input_spec import VectorSpec
from vaekit.errors import InputError

_MAX_EXTRA = 1024  # bytes that a string may be longer than the longest level of its column


def checked_batch(batch: pa.RecordBatch, spec: VectorSpec, max_rows: int, beside: Sequence[str] = ()) -> pa.RecordBatch:
    """Check all values of a batch, and replace string views by strings.

    Args:
        batch: a batch with the model's columns, of accepted types, whose buffer sizes are already checked; those that
            may be missing may be absent.
        spec: the columns of the model.
        max_rows: largest number of rows of one request.
        beside: other columns, whose texts have at most _MAX_EXTRA bytes.

    Raises:
        InputError: the strings of a column are too long, each or together.
        ArrowInvalid: values that are invalid for their type.
    """
    here = set(batch.schema.names)
    longest_level = {
        column.name: max(len(level.encode()) for level in column.levels)
        for column in spec.columns
        if column.levels is not None and column.name in here
    }
    for name, length in {**longest_level, **dict.fromkeys(beside, 0)}.items():
        most = _MAX_EXTRA + length
        longest, total = _sizes(_texts(batch.column(name)))
        if longest > most or total > most * max_rows:
            raise InputError(
                f"column {name!r}: the longest text has {longest} bytes, all texts together have {total}; "
                f"at most {most} and {most * max_rows} are accepted"
            )
    batch.validate(full=True)
    arrays = [_without_views(cells) for cells in batch.columns]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _texts(cells: pa.Array) -> pa.Array:
    return cells.dictionary if pa.types.is_dictionary(cells.type) else cells


def _sizes(texts: pa.Array) -> tuple[int, int]:
    """(bytes of the longest text, bytes of all texts); (0, 0) if the column has no texts."""
    if pa.types.is_string_view(texts.type):
        sizes = _views(texts).view("<i4")[:, 0][texts.is_valid().to_numpy(zero_copy_only=False)]
        return int(sizes.max(initial=0)), int(sizes.sum(dtype=np.int64))
    if pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type):
        sizes = pc.binary_length(texts)
        return pc.max(sizes).as_py() or 0, pc.sum(sizes).as_py() or 0
    return 0, 0


def _views(texts: pa.Array) -> np.ndarray:
    """The views (N, 2) as 8-byte words; the first four bytes of a view are the length of its text."""
    views = np.frombuffer(texts.buffers()[1] or b"", "<i8").reshape(-1, 2)
    return views[texts.offset : texts.offset + len(texts)]


def _without_views(cells: pa.Array) -> pa.Array:
    texts = _texts(cells)
    if not pa.types.is_string_view(texts.type):
        return cells
    strings = _strings(texts)
    return strings if texts is cells else pa.DictionaryArray.from_arrays(cells.indices, strings)


def _strings(texts: pa.Array) -> pa.Array:
    """Views as strings. Null views are emptied first, because Arrow's cast uses their lengths without a check."""
    there = texts.is_valid()
    views = np.where(there.to_numpy(zero_copy_only=False)[:, None], _views(texts), 0)
    validity = pa.array(there.to_numpy(zero_copy_only=False)).buffers()[1]
    buffers = [validity, pa.py_buffer(views), *texts.buffers()[2:]]
    return pc.cast(pa.Array.from_buffers(pa.string_view(), len(texts), buffers), pa.string())
