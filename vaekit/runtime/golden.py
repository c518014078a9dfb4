"""Replays golden rows: the graphs must give the same outputs on this machine as they did at export.

golden.npz holds, for each operation, its inputs as `<operation>.in.<name>` and its outputs as `<operation>.out.<name>`.
For an output with a scale of its own, such as a mean in raw units, it also holds the unit of the absolute tolerance for
each column, as `<operation>.unit.<name>`. Other outputs, such as nats and latents, have unit 1.
Indices, which are int64, must be equal. They are ANY where rounding decides between several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import Bundle
from vaekit.bundle.manifest import Golden, Operation, Precision, Tolerance
from vaekit.errors import FormatError, GoldenMismatch, VaeError

ANY = -1  # golden index that is not compared
_ONE = np.ones(())
Run = Callable[[Operation, Mapping[str, NDArray[Any]]], Mapping[str, NDArray[Any]]]


def replay(run: Run, bundle: Bundle, providers: tuple[str, ...], precision: Precision = "float32") -> None:
    """Run every operation on its golden inputs, and compare the outputs with the golden outputs.

    float16 graphs have their own golden file.

    Raises:
        GoldenMismatch: a graph cannot run, or an output differs by more than the tolerance of the provider in use.
        FormatError: an operation has no golden rows, or the provider no tolerance.
    """
    half = bundle.float16_graphs(precision)
    half_operations = half.operations if half else {}
    others = [operation for operation in bundle.manifest.operations if operation not in half_operations]
    _replay(run, bundle, bundle.manifest.golden, others, providers[0])
    if half:
        _replay(run, bundle, half.golden, half_operations, providers[0])


def _replay(run: Run, bundle: Bundle, signed: Golden, operations: Iterable[Operation], provider: str) -> None:
    golden = bundle.golden(signed)
    tolerance = signed.tolerance.get(provider)
    if tolerance is None:
        known = ", ".join(signed.tolerance)
        raise FormatError(
            f"{bundle.source}: {signed.file} has no tolerance for {provider}, only for: {known or 'none'}"
        )
    for operation in operations:
        feeds = _with_prefix(golden, f"{operation}.in.")
        wanted = _with_prefix(golden, f"{operation}.out.")
        units = _with_prefix(golden, f"{operation}.unit.")
        if not feeds or not wanted:
            raise FormatError(f"{bundle.source}: {operation} has no golden rows")
        got = _outputs(run, operation, feeds, bundle)
        if wanted.keys() != got.keys():
            raise FormatError(
                f"{bundle.source}: {operation}: golden outputs {', '.join(wanted)}, but the graph has {', '.join(got)}"
            )
        for name, want in wanted.items():
            _compare(f"{bundle.source}: {operation}: {name}", got[name], want, tolerance, units.get(name, _ONE))


def _outputs(
    run: Run, operation: Operation, feeds: Mapping[str, NDArray[Any]], bundle: Bundle
) -> Mapping[str, NDArray[Any]]:
    try:
        return run(operation, feeds)
    except VaeError:
        raise
    except Exception as exc:  # ONNX Runtime raises many types for a graph with other inputs
        raise GoldenMismatch(f"{bundle.source}: {operation}: the graph cannot run its golden rows: {exc}") from exc


def _with_prefix(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}


def _compare(what: str, got: NDArray[Any], want: NDArray[Any], tolerance: Tolerance, unit: NDArray[Any]) -> None:
    if got.shape != want.shape:
        raise GoldenMismatch(f"{what}: shape {got.shape}, golden {want.shape}")
    if want.dtype == np.int64:
        wrong = (got != want) & (want != ANY)
        if wrong.any():
            raise _mismatch(what, got, want, np.unravel_index(int(wrong.argmax()), wrong.shape))
        return
    if not (np.isfinite(want).all() and np.isfinite(unit).all()):  # every comparison with NaN would pass
        raise GoldenMismatch(f"{what}: the golden output is not finite")
    allowed = tolerance.absolute * unit + tolerance.relative * np.abs(want.astype(np.float64))
    off = np.abs(got.astype(np.float64) - want) - allowed
    if off.max(initial=-1.0) > 0:
        raise _mismatch(what, got, want, np.unravel_index(int(off.argmax()), off.shape))


def _mismatch(what: str, got: NDArray[Any], want: NDArray[Any], where: Iterable[Any]) -> GoldenMismatch:
    at = tuple(map(int, where))
    return GoldenMismatch(f"{what}: got {got[at]} at {at}, golden {want[at]}; this device gives other results")
