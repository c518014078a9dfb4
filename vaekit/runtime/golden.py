"""Replays golden rows: on this machine the graphs must reproduce their outputs at export.

golden.npz holds, for each operation, its inputs as `<operation>.in.<name>` and its outputs as `<operation>.out.<name>`.
For an output that is not in nats or latent units it also holds the size of one unit, by column, as
`<operation>.unit.<name>`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import Bundle
from vaekit.bundle.manifest import Golden, Operation, Precision, Tolerance
from vaekit.errors import FormatError, GoldenMismatch

_ONE = np.ones(())
Run = Callable[[Operation, Mapping[str, NDArray[Any]]], Mapping[str, NDArray[Any]]]


def replay(run: Run, bundle: Bundle, providers: tuple[str, ...], precision: Precision = "float32") -> None:
    """Run every operation on its golden inputs. Operations with a graph of this precision use that graph's golden file.

    Raises:
        GoldenMismatch: an output differs by more than the tolerance of the provider in use.
        FormatError: an operation has no golden rows, or the provider no tolerance.
    """
    half = bundle.half(precision)
    twins = half.operations if half else {}
    others = [operation for operation in bundle.manifest.operations if operation not in twins]
    _replay(run, bundle, bundle.manifest.golden, others, providers[0])
    if half:
        _replay(run, bundle, half.golden, twins, providers[0])


def _replay(run: Run, bundle: Bundle, signed: Golden, operations: Iterable[Operation], provider: str) -> None:
    golden = bundle.golden(signed)
    tolerance = signed.tolerance.get(provider)
    if tolerance is None:
        raise FormatError(f"{bundle.source}: golden has no tolerance for {provider}")
    for operation in operations:
        feeds = _named(golden, f"{operation}.in.")
        wanted = _named(golden, f"{operation}.out.")
        units = _named(golden, f"{operation}.unit.")
        if not feeds or not wanted:
            raise FormatError(f"{bundle.source}: {operation} has no golden rows")
        got = run(operation, feeds)
        if wanted.keys() != got.keys():
            raise FormatError(f"{bundle.source}: golden rows of {operation} have other outputs than its graph")
        for name, want in wanted.items():
            _compare(f"{bundle.source}: {operation}: {name}", got[name], want, tolerance, units.get(name, _ONE))


def _named(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}


def _compare(what: str, got: NDArray[Any], want: NDArray[Any], tolerance: Tolerance, unit: NDArray[Any]) -> None:
    if got.shape != want.shape:
        raise GoldenMismatch(f"{what}: shape {got.shape}, golden {want.shape}")
    if not (np.isfinite(want).all() and np.isfinite(unit).all()):  # every comparison with NaN would pass
        raise GoldenMismatch(f"{what}: golden is not finite")
    allowed = tolerance.absolute * unit + tolerance.relative * np.abs(want.astype(np.float64))
    off = np.abs(got.astype(np.float64) - want) - allowed
    if off.max(initial=-1.0) > 0:
        at = tuple(int(i) for i in np.unravel_index(int(off.argmax()), off.shape))
        raise GoldenMismatch(f"{what}: got {got[at]} at {at}, golden {want[at]}; this device gives other results")
