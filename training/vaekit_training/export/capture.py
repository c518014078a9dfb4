"""Records the aten operations that a module runs on its inputs, with sizes as functions of N and K.

The module runs twice in torch, with different numbers of rows N and draws K. Operations on constants (weights and
buffers) are executed, and only their results are recorded. The two records may differ only in sizes, which must have
the form times * N^n * K^k.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from vaekit.errors import TrainingError
from vaekit_training.functional import exporting

FREE = ("N", "K")
RUNS = ((5, 7), (11, 13))  # N and K of the two runs; the ratios 11/5, 13/7 and 143/35 distinguish N, K and N K


class Size(NamedTuple):
    """The size of an axis, times * N^n * K^k with n and k 0 or 1; without n and k the size is fixed."""

    times: int
    n: int = 0
    k: int = 0

    @property
    def is_fixed(self) -> bool:
        return not (self.n or self.k)


@dataclass(frozen=True)
class Value:
    """A recorded tensor: an input of the module or the result of an operation."""

    index: int
    dtype: torch.dtype
    shape: tuple[Size, ...]


@dataclass(frozen=True)
class Repeated:
    """A constant that is broadcast to a shape with axes of size N or K."""

    constant: Tensor
    shape: tuple[Size, ...]


@dataclass(frozen=True)
class AtenOperation:
    """One aten operation. In its arguments, a Value stands for a recorded tensor and a Size for a size with N or K."""

    name: str  # as torch prints it, such as "aten.add.Tensor"; in-place variants have the name of the other variant
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    results: tuple[Value, ...]


@dataclass(frozen=True)
class Captured:
    """The recorded operations of a module."""

    inputs: Mapping[str, Value]
    operations: Sequence[AtenOperation]
    outputs: tuple[Value | Tensor | Repeated, ...]  # only a Value depends on the inputs


def capture(module: nn.Module, feeds: Mapping[str, Tensor], free: Mapping[str, Mapping[int, str]]) -> Captured:
    """Run the module on the feeds and record its operations.

    Args:
        module: takes the feeds as positional arguments, in their order.
        feeds: example inputs by name; along a free axis they are repeated or truncated to the size of a run.
        free: the free axes of each input, and for each axis "N" or "K".

    Raises:
        TrainingError: the two runs differ in more than sizes.
    """
    recorders = []
    for sizes in RUNS:
        tensors = [_resized(a, free[name], dict(zip(FREE, sizes, strict=True))) for name, a in feeds.items()]
        recorder = _Recorder(tensors)
        with torch.no_grad(), exporting(), recorder:
            results = module(*tensors)
        recorder.finish(results)
        recorders.append(recorder)
    return _merged(list(feeds), *recorders)


def _resized(a: Tensor, axes: Mapping[int, str], sizes: Mapping[str, int]) -> Tensor:
    for axis, name in axes.items():
        a = a.index_select(axis, torch.arange(sizes[name]) % a.shape[axis])
    return a.clone()


@dataclass(frozen=True)
class _RunValue:
    """A tensor of one run."""

    index: int
    dtype: torch.dtype
    shape: tuple[int, ...]


class _Recorder(TorchDispatchMode):
    """Records each operation, after torch has decomposed composite operations."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Overrides the default, which imports the compiler; this takes seconds and nothing is compiled here."""
        return False

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()
        self.operations: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[_RunValue, ...]]] = []
        self.outputs: tuple[_RunValue | Tensor, ...] = ()
        self._values = WeakTensorKeyDictionary()  # to _RunValue; does not keep intermediate tensors in memory
        self._count = 0
        self.inputs = [self._add(a) for a in inputs]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        recorded_args, recorded_kwargs = self._replaced(args), self._replaced(kwargs)
        found = func(*args, **kwargs)
        if not _contains(recorded_args, _RunValue) and not _contains(recorded_kwargs, _RunValue):
            return found
        name = str(func)
        if func._schema.is_mutable:
            self._check_in_place(args[0])
            name = name.replace("_.", ".", 1)
        results = found if isinstance(found, tuple | list) else (found,)
        self.operations.append((name, recorded_args, recorded_kwargs, tuple(self._add(a) for a in results)))
        return found

    def finish(self, results: Tensor | Sequence[Tensor]) -> None:
        """Record the results of the module."""
        results = (results,) if isinstance(results, Tensor) else results
        self.outputs = tuple(self._values.get(a, a) for a in results)
        self._values.clear()

    def _add(self, a: Tensor) -> _RunValue:
        self._values[a] = seen = _RunValue(self._count, a.dtype, tuple(a.shape))
        self._count += 1
        return seen

    def _replaced(self, value: Any) -> Any:
        """An argument with recorded tensors replaced by their _RunValue."""
        if isinstance(value, Tensor):
            return self._values.get(value, value)
        if isinstance(value, tuple | list):
            return tuple(self._replaced(one) for one in value)
        if isinstance(value, dict):
            return {name: self._replaced(one) for name, one in value.items()}
        return value

    def _check_in_place(self, a: Tensor) -> None:
        """Refuse to overwrite a tensor that shares its memory with another recorded tensor."""
        own = a.untyped_storage().data_ptr()
        if any(other is not a and other.untyped_storage().data_ptr() == own for other in self._values):
            raise TrainingError("export: an operation overwrites a tensor that shares its memory with another one")


def _contains(value: Any, kind: type) -> bool:
    if isinstance(value, dict):
        return any(_contains(one, kind) for one in value.values())
    if isinstance(value, tuple):
        return any(_contains(one, kind) for one in value)
    return isinstance(value, kind)


def _merged(names: Sequence[str], first: _Recorder, second: _Recorder) -> Captured:
    """One record of the two runs."""
    if [each[0] for each in first.operations] != [each[0] for each in second.operations]:
        raise TrainingError("export: the sequence of operations depends on the number of rows or draws")
    operations = [
        AtenOperation(a[0], *(_same(x, y, a[0]) for x, y in zip(a[1:], b[1:], strict=True)))
        for a, b in zip(first.operations, second.operations, strict=True)
    ]
    inputs = _same(tuple(first.inputs), tuple(second.inputs), "input")
    outputs = _same(first.outputs, second.outputs, "output")
    return Captured(dict(zip(names, inputs, strict=True)), operations, outputs)


def _same(a: Any, b: Any, where: str) -> Any:
    """The common form of a and b, from the two runs; integers that differ become a Size."""
    if isinstance(a, _RunValue) and isinstance(b, _RunValue) and (a.index, a.dtype) == (b.index, b.dtype):
        return Value(a.index, a.dtype, tuple(_size(x, y, where) for x, y in zip(a.shape, b.shape, strict=True)))
    if isinstance(a, tuple):
        return tuple(_same(x, y, where) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return {name: _same(a[name], b[name], where) for name in a}
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return _same_constant(a.detach(), b.detach(), where)
    if isinstance(a, int) and not isinstance(a, bool) and a != b:
        return _size(a, b, where)
    if a != b:
        raise TrainingError(
            f"export: {where} has an argument that depends on the number of rows or draws: {a!r} in one run, {b!r} in "
            "the other"
        )
    return a


def _same_constant(a: Tensor, b: Tensor, where: str) -> Tensor | Repeated:
    """The common form of two constants: the constant itself, or the slice that both repeat along free axes."""
    free = [axis for axis, (x, y) in enumerate(zip(a.shape, b.shape, strict=True)) if x != y]
    first, second = (_first_slice(tensor, free) for tensor in (a, b))
    repeats = not free or (_equal(a, first.expand_as(a)) and _equal(b, second.expand_as(b)))
    if not (repeats and _equal(first, second)):
        raise TrainingError(f"export: {where} has a constant that depends on the number of rows or draws")
    if not free:
        return a
    return Repeated(first, tuple(_size(x, y, where) for x, y in zip(a.shape, b.shape, strict=True)))


def _first_slice(a: Tensor, axes: Sequence[int]) -> Tensor:
    for axis in axes:
        a = a.narrow(axis, 0, 1)
    return a


def _equal(a: Tensor, b: Tensor) -> bool:
    if a.dtype != b.dtype:
        return False
    return torch.equal(a, b) or bool(((a == b) | (a.isnan() & b.isnan())).all())


def _size(a: int, b: int, where: str) -> Size:
    for n, k in product((0, 1), (0, 1)):
        units = [rows**n * draws**k for rows, draws in RUNS]
        times, left = divmod(a, units[0])
        if not left and times * units[1] == b:
            return Size(times, n, k)
    raise TrainingError(
        f"export: {where} has a size that is not a multiple of N, K or N K: {a} and {b} for (N, K) = {RUNS[0]} and "
        f"{RUNS[1]}"
    )
