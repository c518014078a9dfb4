"""Reads an Arrow stream into the input array of the graphs, and translates pyarrow's errors into ours.

This file imports pyarrow, so codec.py imports it on first use only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.client.wire import RowId
from vaekit.errors import InputError, VaeError
from vaekit.tabular.arrow_cells import numbers
from vaekit.tabular.arrow_columns import Columns
from vaekit.tabular.arrow_windows import steps_of_table
from vaekit.tabular.cells import MISSING
from vaekit.tabular.checked_rows import InvalidRow
from vaekit.tabular.columns import MOST_IGNORED, NOTHING_IGNORED, Ignored
from vaekit.tabular.invalid_rows import CollectFaults
from vaekit.tabular.pixels import encode_images
from vaekit.tabular.series import Ends
from vaekit.tabular.windows import check_beside, is_of_steps
from vaekit_service.codecs.arrow.ids import ids_of_batch, without_id_column
from vaekit_service.codecs.arrow.stream_checks import check_stream
from vaekit_service.codecs.arrow.texts import checked_batch
from vaekit_service.codecs.row_ids import split_ids
from vaekit_service.codecs.series import refuse_report, windows_of
from vaekit_service.errors import Unparsable
from vaekit_service.messages import Body, Target

PIXELS, LATENTS = "pixels", "latents"
_OPTIONS = pa.ipc.IpcReadOptions(use_threads=False)


@dataclass(frozen=True)
class ArrayRead:
    """The rows of a stream: x (n, D) float64, images (n, H, W, C) uint8, or latent vectors z (n, Z) float64."""

    rows: NDArray[Any]
    ignored: Ignored = NOTHING_IGNORED
    ids: list[RowId] | None = None  # of the column of ids
    invalid: Sequence[InvalidRow] = ()
    ends: Ends | None = None  # where the results of windows go; None: to their rows


def read_array(
    body: Body, target: Target, *, strict: bool = False, id_column: str | None = None, report: bool = False
) -> ArrayRead:
    """The rows of a stream.

    Args:
        body: the stream.
        target: what it is read for.
        strict: whether to refuse novel rows and columns that the model does not have.
        id_column: the column with the caller's ids of rows, of text or integers; None: no ids.
        report: whether invalid rows of a table are left out with their reasons.

    Raises:
        Unparsable: not an Arrow stream, or a damaged one.
        MediaType, TooLarge: see check_stream.
        InputError: columns, types or cells that the model does not accept.
    """
    spec, z = target.manifest.input, target.manifest.latent_dim
    most = target.max_rows + (spec.window.steps - 1 if spec.window is not None else 0)
    check_stream(body, max(spec.dim + MOST_IGNORED, 2 * z) + 64, most)
    if target.operation == "decode":
        table = _read(body, lambda schema: _check_block(schema, LATENTS, (z,), "numbers", _is_number))
        latents: NDArray[np.float64] = numbers(_flat(table, LATENTS, z)).to_numpy().reshape(-1, z)
        return ArrayRead(latents)
    if isinstance(spec, ImageSpec):
        if id_column is not None:
            raise InputError("id_column: images have no column names; send their ids as ids")
        table = _read(body, lambda schema: _check_block(schema, PIXELS, spec.row_shape, "uint8", pa.types.is_uint8))
        images = _flat(table, PIXELS, spec.dim).to_numpy().reshape(-1, *spec.row_shape)
        return ArrayRead(encode_images(images, spec))
    return _rows(body, spec, target, most, strict=strict, id_column=id_column, report=report)


def _rows(
    body: Body,
    spec: VectorSpec,
    target: Target,
    max_rows: int,
    *,
    strict: bool,
    id_column: str | None,
    report: bool,
) -> ArrayRead:
    """Rows (N, D) of a table with the model's columns, in any order; the bytes of other columns are not looked at."""
    found: list[Ignored] = []
    ids: list[RowId] | None = None if id_column is None else []
    window = spec.window

    def check(schema: pa.Schema) -> None:
        if id_column is not None and id_column not in _beside(schema, spec):
            schema = without_id_column(schema, id_column)
        beside, own = _beside(schema, spec), _spec_of(schema, spec)
        if window is not None and own is not spec:
            check_beside(schema.names, window)
        found.append(
            Columns(
                schema, own, text=False, indices=False, strict=strict, most_ignored=MOST_IGNORED, beside=beside
            ).ignored
        )

    def check_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
        if id_column is not None and ids is not None:
            ids.extend(ids_of_batch(batch, id_column, len(ids)))
            if id_column not in _beside(batch.schema, spec):
                batch = batch.drop_columns([id_column])
        beside, own = _beside(batch.schema, spec), _spec_of(batch.schema, spec)
        return checked_batch(_with_columns(batch, (*own.names, *beside)), own, max_rows, beside)

    table = _read(body, check, check_batch)
    own, beside = _spec_of(table.schema, spec), _beside(table.schema, spec)
    with _translated(InputError):
        columns = Columns(
            table.schema,
            own,
            text=False,
            indices=False,
            strict=strict,
            most_missing=target.manifest.most_missing if report else None,
            beside=beside,
        )
        if window is not None and own is not spec:
            refuse_report(report=report)
            x, ends = windows_of(steps_of_table(table, columns.take(table, 0)[1], window), target)
            return ArrayRead(x, found[0], ids, ends=ends)
        if not report:
            return ArrayRead(columns.take(table, 0)[1], found[0], ids)
        return _reported(columns, table, found[0], ids)


def _reported(columns: Columns, table: pa.RecordBatch, ignored: Ignored, ids: list[RowId] | None) -> ArrayRead:
    """The valid rows, and the reasons of the others."""
    faults = CollectFaults(table.num_rows)
    x = columns.read(table, faults)[1]
    rows = [int(row) for row in np.flatnonzero(faults.bad)]
    invalid = [
        InvalidRow(row, reason, name, None if name is None or reason == MISSING else _value(table.column(name)[row]))
        for row, name, reason in zip(rows, *faults.reasons(), strict=True)
    ]
    if ids is not None:
        ids, invalid = split_ids(ids, invalid)
    return ArrayRead(x[~faults.bad], ignored, ids, invalid)


def _value(cell: pa.Scalar) -> Any:
    """The value of a cell, as text if Python cannot represent it."""
    try:
        return cell.as_py()
    except (ArithmeticError, ValueError):
        return f"a {cell.type}"


def _spec_of(schema: pa.Schema, spec: VectorSpec) -> VectorSpec:
    """The columns of a time step, if the table has time steps; otherwise the spec itself."""
    return spec.step if spec.window is not None and is_of_steps(schema.names, spec.window) else spec


def _beside(schema: pa.Schema, spec: VectorSpec) -> tuple[str, ...]:
    """The columns of series and times, if the table has time steps."""
    own = _spec_of(schema, spec)
    return () if spec.window is None or own is spec else spec.window.beside


def _with_columns(batch: pa.RecordBatch, names: Sequence[str]) -> pa.RecordBatch:
    """The batch with those of these columns that it has."""
    here = set(batch.schema.names)
    return batch.select([name for name in names if name in here])


def _validated(batch: pa.RecordBatch) -> pa.RecordBatch:
    batch.validate(full=True)
    return batch


def _read(
    body: Body,
    check: Callable[[pa.Schema], object],
    check_batch: Callable[[pa.RecordBatch], pa.RecordBatch] = _validated,
) -> pa.RecordBatch:
    """The rows of a stream as one batch, fully validated.

    Args:
        body: a stream that passed check_stream.
        check: raises an error for a schema that the model does not accept; called before rows are read.
        check_batch: checks all values of a batch whose buffer sizes are already checked.
    """
    with _translated(Unparsable):
        reader = pa.ipc.open_stream(pa.py_buffer(body), options=_OPTIONS)
        check(reader.schema)
        batches = []
        for batch in reader:
            batch.validate()
            batches.append(check_batch(batch))
        joined = pa.Table.from_batches(batches).combine_chunks().to_batches() if batches else []
    if not joined:
        raise InputError("body: the Arrow stream has no rows, expected at least 1")
    assert len(joined) == 1
    return joined[0]


@contextmanager
def _translated(into: type[VaeError]) -> Iterator[None]:
    """Translate pyarrow's errors into the error class `into`."""
    try:
        yield
    except VaeError:
        raise
    except (pa.ArrowException, OSError, ValueError) as exc:
        raise into(f"body: {str(exc)[:200]}") from exc


def _check_block(
    schema: pa.Schema, name: str, shape: tuple[int, ...], of: str, takes: Callable[[pa.DataType], bool]
) -> None:
    """Check that a schema has one column `name`, whose cells are lists with as many values as the shape.

    Raises:
        InputError: other columns, no column, or a column of another type.
    """
    if schema.names != [name]:
        found = ", ".join(repr(other[:64]) for other in schema.names[:5]) or "none"
        raise InputError(f"columns: {found}; expected exactly one column, {name!r}")
    kind, size = schema.field(0).type, prod(shape)
    lists = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    fits = pa.types.is_fixed_size_list(lists) and lists.list_size == size and takes(lists.value_type)
    if not fits or (lists is not kind and not _is_tensor(kind, shape)):
        raise InputError(f"column {name!r}: type {str(kind)[:100]}, expected a fixed_size_list of {size} {of}")


def _is_tensor(kind: pa.DataType, shape: tuple[int, ...]) -> bool:
    """Whether the type is a fixed_shape_tensor of this shape in row-major order."""
    return (
        isinstance(kind, pa.FixedShapeTensorType)
        and tuple(kind.shape) == shape
        and list(kind.permutation or range(len(shape))) == list(range(len(shape)))
    )


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _flat(table: pa.RecordBatch, name: str, size: int) -> pa.Array:
    """The numbers of all rows of the only column as one flat array.

    Raises:
        InputError: a row or a number is null.
    """
    cells = table.column(0)
    lists = cells.storage if isinstance(cells, pa.ExtensionArray) else cells
    if lists.null_count:
        raise InputError(f"row {_first_null(lists)}, column {name!r}: null, expected a list of {size} numbers")
    flat = lists.flatten()
    if flat.null_count:
        row, at = divmod(_first_null(flat), size)
        raise InputError(f"row {row}, column {name!r}, value {at}: null, expected a number")
    return flat


def _first_null(array: pa.Array) -> int:
    return int(pc.index(array.is_null(), True).as_py())
