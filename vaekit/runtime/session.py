"""Calls one ONNX graph with arrays, on a CPU or through buffers on a CUDA device.

On a CPU a call goes straight to ONNX Runtime. On CUDA the rows are copied into buffers that stay on the device. The
buffers have a few sizes, and the graph is bound to them once per size. A call therefore allocates no memory and brings
no new shape. If CUDA graphs are enabled, a call replays a recorded CUDA graph.

A forked child has none of the threads of ONNX Runtime, so it opens its graphs again when it first uses them.
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.manifest import Graph, Tensor
from vaekit.errors import DeviceError
from vaekit.runtime.buckets import ROWS, bucket, padded, shape_of, sizes
from vaekit.runtime.device import CUDA, DEFAULTS, Cuda, open_session, parse_device

MAX_RECENT = 16  # for each graph, the number of sizes that were not warmed up and whose buffers are kept
NOT_RECORDED = -1  # graph id of a call without CUDA graphs; the id of a recorded CUDA graph is its number of rows

_LOAD_AGAIN = "load the model again with Model.load in this process"
_OPEN: weakref.WeakSet[Session] = weakref.WeakSet()  # sessions of this process, to forget after a fork
_ALLOCATION_LOCK = threading.Lock()  # the first call creates the allocator of a CUDA device, which is not thread-safe

Feeds = Mapping[str, NDArray[Any]]
Sizes = Mapping[str, int]
Key = frozenset[tuple[str, int]]


def open_graph(path: Path, graph: Graph, device: str, threads: int | None = None, cuda: Cuda = DEFAULTS) -> Session:
    """Open a graph on a device.

    Raises:
        DeviceError, BundleError: see open_session.
    """
    native = open_session(path, device, threads, cuda)
    if CUDA not in native.get_providers():
        return Session(native, graph, partial(_reopened, path, device, threads, cuda))
    return BufferedSession(native, graph, "cuda", parse_device(device)[1], records=cuda.graphs)


class Session:
    """A graph that is called directly. Calls from several threads may run at the same time."""

    def __init__(self, native: Any, graph: Graph, reopen: Callable[[], Any] | None = None) -> None:
        """
        Args:
            native: the onnxruntime.InferenceSession.
            graph: its signature.
            reopen: opens it again in a forked child; None: it cannot be used there.
        """
        self._native, self.graph, self._reopen = native, graph, reopen
        _OPEN.add(self)
        self.outputs = [tensor.name for tensor in graph.outputs]
        self.takes_draws = any(tensor.name == "eps" for tensor in graph.inputs)

    @property
    def native(self) -> Any:
        """The onnxruntime.InferenceSession of this process.

        Raises:
            DeviceError: it was opened before a fork, and cannot be opened again in this child.
        """
        if self._native is None:
            if self._reopen is None:
                raise DeviceError(f"CUDA does not work in a forked process: {_LOAD_AGAIN}")
            self._native = self._reopen()
        return self._native

    def forget(self) -> None:
        """Leave the session to the parent of this forked child; its destructor would wait for threads of the parent."""
        _keep_for_ever(self._native)
        self._native = None

    def run(self, feeds: Feeds, most: int) -> list[NDArray[Any]]:  # noqa: ARG002  only BufferedSession pads
        """The outputs, in the order of the signature.

        Args:
            feeds: inputs by name.
            most: the maximum number of rows after padding.
        """
        outputs: list[NDArray[Any]] = self.native.run(self.outputs, dict(feeds))
        return outputs

    def warm(self, rows: int, num_samples: int) -> None:
        """Prepare calls with `rows` rows and, if the graph takes draws, K = `num_samples`. Does nothing on a CPU."""

    @property
    def providers(self) -> tuple[str, ...]:
        """The execution providers in use, the preferred one first."""
        return tuple(self.native.get_providers())

    @property
    def nodes(self) -> dict[str, int]:
        """The number of nodes that run on each provider, counted before nodes are fused."""
        assigned = self.native.get_provider_graph_assignment_info()
        return dict(Counter(part.ep_name for part in assigned for _ in part.get_nodes()))

    @property
    def threads(self) -> int:
        """Threads of one call on the CPU."""
        return int(self.native.get_session_options().intra_op_num_threads)


class BufferedSession(Session):
    """A graph that is called through buffers on a device, one call at a time."""

    def __init__(self, native: Any, graph: Graph, kind: str, index: int, *, records: bool = False) -> None:
        super().__init__(native, graph)
        self._device, self._records = (kind, index), records
        self._lock = threading.Lock()  # around the buffers
        self._warmed: dict[Key, Buffers] = {}
        self._recent: OrderedDict[Key, Buffers] = OrderedDict()

    def forget(self) -> None:
        """As Session.forget, with the buffers; a thread of the parent may have held the lock."""
        for buffers in (*self._warmed.values(), *self._recent.values()):
            _keep_for_ever(buffers)
        self._warmed, self._recent, self._lock = {}, OrderedDict(), threading.Lock()
        super().forget()

    def run(self, feeds: Feeds, most: int) -> list[NDArray[Any]]:
        """Pad the rows to a bucket, and run the graph on its buffers.

        Raises:
            InputError: the inputs do not match the signature.
        """
        found = sizes(self.graph.inputs, feeds)
        n = found[ROWS]
        with self._lock:
            buffers = self._buffers({**found, ROWS: bucket(n, most)})
            buffers.write(feeds)
            buffers.run()
            return buffers.read(n)

    def warm(self, rows: int, num_samples: int) -> None:
        """Create the buffers of these sizes, run the graph on them once in this thread, and keep them."""
        letters = {size for tensor in self.graph.inputs for size in tensor.shape if isinstance(size, str)}
        sizes = {letter: rows if letter == ROWS else num_samples for letter in letters}
        with self._lock:
            buffers = self._new(sizes)
            buffers.run()
            if self._records:
                buffers.record(graph_id=rows)
            self._warmed[frozenset(sizes.items())] = buffers

    def _buffers(self, sizes: Sizes) -> Buffers:
        key = frozenset(sizes.items())
        if key in self._warmed:
            return self._warmed[key]
        buffers = self._recent.pop(key) if key in self._recent else self._new(sizes)
        self._recent[key] = buffers  # now the most recently used
        if len(self._recent) > MAX_RECENT:
            self._recent.popitem(last=False)
        return buffers

    def _new(self, sizes: Sizes) -> Buffers:
        return Buffers(self.native, self.graph, sizes, self._device, records=self._records)


class Buffers:
    """Input and output arrays of one size on a device, initially zeros, and the graph bound to them."""

    def __init__(self, native: Any, graph: Graph, sizes: Sizes, device: tuple[str, int], *, records: bool) -> None:
        self._native, self._rows = native, sizes[ROWS]
        self._has_rows = {tensor.name for tensor in graph.inputs if tensor.shape[:1] == (ROWS,)}
        self._inputs = {tensor.name: _zeros(tensor, sizes, device) for tensor in graph.inputs}
        self._outputs = [_zeros(tensor, sizes, device) for tensor in graph.outputs]
        self._binding = native.io_binding()
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for tensor, value in zip(graph.outputs, self._outputs, strict=True):
            self._binding.bind_ortvalue_output(tensor.name, value)
        self._plain = _run_options(NOT_RECORDED) if records else None
        self._replay: Any = None
        self._recorder: int | None = None  # the thread that recorded the replay

    def write(self, feeds: Feeds) -> None:
        """Copy the inputs to the device; an input with fewer rows is padded with its last row."""
        for name, value in self._inputs.items():
            given = padded(feeds[name], self._rows) if name in self._has_rows else feeds[name]
            value.update_inplace(np.ascontiguousarray(given))

    def run(self) -> None:
        """Run the graph once on the content of the buffers."""
        options = self._replay if self._recorder == threading.get_ident() else self._plain
        self._native.run_with_iobinding(self._binding, options)

    def record(self, graph_id: int) -> None:
        """Record a run as a CUDA graph with this id. Later runs in this thread replay it.

        The graph must have run once before. It runs a second time here without recording, because CUDA may allocate
        memory in that run, and must not allocate while it records.
        """
        self.run()
        self._replay, self._recorder = _run_options(graph_id), threading.get_ident()
        self.run()

    def read(self, n: int) -> list[NDArray[Any]]:
        """The outputs: copies of their first n rows."""
        return [value.numpy()[:n].copy() for value in self._outputs]


def _reopened(path: Path, device: str, threads: int | None, cuda: Cuda) -> Any:
    """The session of a graph, opened again in a forked child.

    Raises:
        DeviceError: the parent has deleted its copy of the bundle.
    """
    if not path.is_file():
        raise DeviceError(f"{path}: deleted by the process that loaded the model before this one forked: {_LOAD_AGAIN}")
    return open_session(path, device, threads, cuda)


def _keep_for_ever(thing: object) -> None:
    """Never run the destructor of an object in this process."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _forget_all() -> None:
    for session in list(_OPEN):
        session.forget()


os.register_at_fork(after_in_child=_forget_all)


def _zeros(tensor: Tensor, sizes: Sizes, device: tuple[str, int]) -> Any:
    import onnxruntime

    shape, dtype = shape_of(tensor, sizes), np.dtype(tensor.dtype)
    with _ALLOCATION_LOCK:
        value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype.type, *device)
    value.update_inplace(np.zeros(shape, dtype))
    return value


def _run_options(graph_id: int) -> Any:
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(graph_id))
    return options
