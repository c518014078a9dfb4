"""Checks and decodes the texts of category columns, whose length Arrow does not bound.

A text may be as long as the body, and be that of any number of cells: by a dictionary, or by views of one buffer. Each
cell has bytes of its own once it is read, and even checking a view reads all that it shows, so lengths come first.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vaekit.bundle.input_spec import VectorSpec
from vaekit.errors import InputError

_LONGEST = 1024  # bytes of a text beyond its column's longest level: no spelling of a level needs them


def settled(batch: pa.RecordBatch, spec: VectorSpec, most_rows: int) -> pa.RecordBatch:
    """The batch with every value checked and strings in place of views.

    Args:
        batch: it has the model's columns, of types that they take, and buffers of the sizes that it needs.
        spec: what the model takes.
        most_rows: of one request.

    Raises:
        InputError: texts that are too long, one by one or together.
        ArrowInvalid: values that are none of their type.
    """
    for column in spec.columns:
        if column.levels is not None:
            most = _LONGEST + max(len(level.encode()) for level in column.levels)
            longest, total = _sizes(_texts(batch.column(column.name)))
            if longest > most or total > most * most_rows:
                raise InputError(f"feature {column.name!r}: texts of up to {longest} bytes, {total} together")
    batch.validate(full=True)
    arrays = [_without_views(cells) for cells in batch.columns]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _texts(cells: pa.Array) -> pa.Array:
    return cells.dictionary if pa.types.is_dictionary(cells.type) else cells


def _sizes(texts: pa.Array) -> tuple[int, int]:
    """Bytes of the longest text, and of all of them together, those of a dictionary once; 0 where there are none."""
    if pa.types.is_string_view(texts.type):
        sizes = _views(texts).view("<i4")[:, 0][texts.is_valid().to_numpy(zero_copy_only=False)]
        return int(sizes.max(initial=0)), int(sizes.sum(dtype=np.int64))
    if pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type):
        sizes = pc.binary_length(texts)
        return pc.max(sizes).as_py() or 0, pc.sum(sizes).as_py() or 0
    return 0, 0


def _views(texts: pa.Array) -> np.ndarray:
    """(N, 2) words of 8 bytes, the first four of which are a text's length."""
    views = np.frombuffer(texts.buffers()[1] or b"", "<i8").reshape(-1, 2)
    return views[texts.offset : texts.offset + len(texts)]


def _without_views(cells: pa.Array) -> pa.Array:
    texts = _texts(cells)
    if not pa.types.is_string_view(texts.type):
        return cells
    strings = _strings(texts)
    return strings if texts is cells else pa.DictionaryArray.from_arrays(cells.indices, strings)


def _strings(texts: pa.Array) -> pa.Array:
    """Views as strings; null ones are emptied first: Arrow's check passes over them, its cast trusts their lengths."""
    there = texts.is_valid()
    views = np.where(there.to_numpy(zero_copy_only=False)[:, None], _views(texts), 0)
    validity = pa.array(there.to_numpy(zero_copy_only=False)).buffers()[1]
    buffers = [validity, pa.py_buffer(views), *texts.buffers()[2:]]
    return pc.cast(pa.Array.from_buffers(pa.string_view(), len(texts), buffers), pa.string())
