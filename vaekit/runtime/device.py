"""Checks which ONNX Runtime is installed, and opens sessions on the requested device."""

from __future__ import annotations

import ctypes
import os
import re
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from vaekit.bundle.disk import temporary_folder
from vaekit.errors import BundleError, DeviceError, MissingExtra
from vaekit.runtime.cpu_count import cpu_count

# Since 1.29 ONNX Runtime sends telemetry about machine, process and graphs unless this is set before its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

MAX_THREADS = 8  # default limit for one graph: the graphs are small, and each has its own threads (docs/decisions)
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_DEVICE = re.compile(r"auto|cpu|cuda(?::(\d{1,2}))?")
_PROBE = bytes.fromhex(  # a graph of one node, y = -x, opset 18, to test whether a device works
    "08083a360a0b0a017812017922034e6567120570726f62655a0f0a0178120a0a08080112040a020801620f0a0179120a0a08080112040a"
    "02080142040a001012"
)


@dataclass(frozen=True)
class Cuda:
    """Options that apply to CUDA devices only."""

    memory_bytes: int | None = None  # limit of the memory arena of one graph; None: no limit
    graphs: bool = False  # record warmed calls as CUDA graphs and replay them


DEFAULTS = Cuda()


def check_distribution() -> str:
    """The installed ONNX Runtime distribution, onnxruntime or onnxruntime-gpu.

    The two share one import name: if both are installed, the later one silently wins, and uninstalling either breaks
    the other.

    Raises:
        MissingExtra: neither is installed, or both are.
    """
    found = [name for name in ("onnxruntime", "onnxruntime-gpu") if _installed(name)]
    if len(found) == 2:
        raise MissingExtra(
            "onnxruntime and onnxruntime-gpu are both installed and break each other: "
            "pip uninstall both, then install vaekit[cpu] or vaekit[gpu]"
        )
    if not found:
        raise MissingExtra("ONNX Runtime is not installed: install vaekit[cpu] or vaekit[gpu]")
    return found[0]


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def parse_device(device: str) -> tuple[str, int]:
    """The kind of a device, "auto", "cpu" or "cuda", and its index, 0 by default.

    Raises:
        DeviceError: the text is not auto, cpu, cuda or cuda:<index>.
    """
    match = _DEVICE.fullmatch(device)
    if match is None:
        raise DeviceError(f"device {device!r} is not auto, cpu, cuda or cuda:<index>")
    return device.split(":")[0], int(match.group(1) or 0)


def check_device(device: str, cuda: Cuda = DEFAULTS) -> None:
    """Check that the device is available, before any model is loaded.

    Raises:
        DeviceError: the text is not a device; or CUDA or CUDA graphs were requested, and CUDA does not work.
    """
    if parse_device(device)[0] != "cuda" and not cuda.graphs:
        return
    with temporary_folder() as folder:
        graph = folder / "probe.onnx"
        graph.write_bytes(_PROBE)
        open_session(graph, device, threads=1, cuda=cuda)


def may_use_cuda(device: str) -> bool:
    """Whether sessions on a device may run on CUDA: it is requested, or automatic and this ONNX Runtime has it."""
    kind = parse_device(device)[0]
    if kind != "auto":
        return kind == "cuda"
    import onnxruntime

    return CUDA in onnxruntime.get_available_providers()


def open_session(path: Path, device: str, threads: int | None = None, cuda: Cuda = DEFAULTS) -> Any:
    """An onnxruntime.InferenceSession of the graph on the device.

    Args:
        path: the graph's file.
        device: "cpu", "cuda", "cuda:<index>", or "auto": CUDA if it works, else the CPU.
        threads: threads of one call on the CPU; None: one per core that this process may use, at most 8.
        cuda: options for CUDA devices.

    Raises:
        DeviceError: CUDA or CUDA graphs were requested, and a session on CUDA cannot be opened.
        BundleError: the graph cannot be opened on the CPU.
    """
    check_distribution()
    import onnxruntime

    kind, index = parse_device(device)
    if kind == "cpu" and cuda.graphs:
        raise DeviceError("device cpu: CUDA graphs need a CUDA device")
    required = kind == "cuda" or cuda.graphs
    if kind == "cpu" or not (required or CUDA in onnxruntime.get_available_providers()):
        return _cpu_session(path, threads)
    try:
        return _cuda_session(path, index, threads, cuda)
    except DeviceError:
        if required:
            raise
        return _cpu_session(path, threads)


def cuda_options(index: int, cuda: Cuda) -> dict[str, str]:
    """ONNX Runtime's options for a CUDA device."""
    options = {
        "device_id": str(index),
        "use_tf32": "0",  # TF32 has relative errors of 1e-3; results must be accurate to 1e-5
        "cudnn_conv_algo_search": "HEURISTIC",  # a search takes up to a second for each new number of rows
        "arena_extend_strategy": "kSameAsRequested",  # buffers have few sizes: no need to grow by powers of two
        "do_copy_in_default_stream": "1",  # copies and kernels run in one order, so that no copy overtakes a kernel
    }
    if cuda.memory_bytes is not None:
        options["gpu_mem_limit"] = str(cuda.memory_bytes)
    if cuda.graphs:
        options["enable_cuda_graph"] = "1"
    return options


def _cpu_session(path: Path, threads: int | None) -> Any:
    try:
        return _session(path, [CPU], threads)
    except Exception as exc:  # the native layer raises many types
        reason = str(exc).replace(str(path), path.name)
        raise BundleError(f"{path.name}: ONNX Runtime cannot open the graph: {reason}") from exc


def _cuda_session(path: Path, index: int, threads: int | None, cuda: Cuda) -> Any:
    import onnxruntime

    if CUDA not in onnxruntime.get_available_providers():
        raise DeviceError("device cuda: this ONNX Runtime has no CUDA provider; install vaekit[gpu]")
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # finds the CUDA libraries that pip installed
    try:
        session = _session(path, [(CUDA, cuda_options(index, cuda)), CPU], threads)
    except Exception as exc:  # the native layer raises many types; any of them means that CUDA does not work
        raise DeviceError(f"device cuda:{index}: {exc}") from exc
    if CUDA not in session.get_providers():  # ONNX Runtime falls back to the CPU without an error
        raise DeviceError(
            f"device cuda:{index}: ONNX Runtime fell back to {session.get_providers()}; install vaekit[gpu] with its "
            "CUDA libraries, or use device cpu"
        )
    return session


def _session(path: Path, providers: list[Any], threads: int | None) -> Any:
    import onnxruntime

    _share_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or default_threads()
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=providers, enable_fallback=0)


def default_threads() -> int:
    """The number of threads of one call, if the caller does not set it."""
    return min(cpu_count(), MAX_THREADS)


@cache
def _share_memory() -> None:
    """Use one arena of host memory for all graphs of the process.

    An arena does not give back the memory of its largest call. Six graphs with one arena each would keep six times as
    much memory (docs/decisions/2026-11-24-one-arena-for-all-graphs.md).
    """
    import onnxruntime as ort

    where = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(where, ort.OrtArenaCfg({}))


class CudaMemory(NamedTuple):
    """Bytes of a CUDA device."""

    used: int  # by all processes
    total: int


def cuda_memory(index: int) -> CudaMemory | None:
    """The memory of a CUDA device, as CUDA reports it; None if the CUDA library is not loaded.

    ONNX Runtime does not report its arenas to Python, and in a container the driver does not report memory by process.
    """
    try:
        library = ctypes.CDLL("libcudart.so.13")  # the library that ONNX Runtime's CUDA provider has loaded
    except OSError:
        return None
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    failed = library.cudaSetDevice(index) or library.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total))
    return None if failed else CudaMemory(total.value - free.value, total.value)
