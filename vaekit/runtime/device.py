"""Which ONNX Runtime is installed and which device it really gives. Knows providers, not bundles."""

from __future__ import annotations

import os
import re
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from vaekit.errors import DeviceError, MissingExtra
from vaekit.runtime.cores import cpu_count

# Since 1.29 ONNX Runtime reports machine, process and graphs to its maker, unless this is set before its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

MOST_THREADS = 8  # by default: every graph has a pool of its own, and these graphs are small
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_DEVICE = re.compile(r"auto|cpu|cuda(?::(\d{1,2}))?")
_PROBE = bytes.fromhex(  # a graph of one node, y = -x, opset 18: what a device must at least be able to open
    "08083a360a0b0a017812017922034e6567120570726f62655a0f0a0178120a0a08080112040a020801620f0a0179120a0a08080112040a"
    "02080142040a001012"
)


def check_distribution() -> str:
    """The one ONNX Runtime distribution that is installed.

    onnxruntime and onnxruntime-gpu share one import name: of both, the one installed last wins in silence, and taking
    either away breaks the other.

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
        raise MissingExtra("no ONNX Runtime: install vaekit[cpu] or vaekit[gpu]")
    return found[0]


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def parse_device(device: str) -> tuple[str, int]:
    """("auto" | "cpu" | "cuda", index).

    Raises:
        DeviceError: another word.
    """
    match = _DEVICE.fullmatch(device)
    if match is None:
        raise DeviceError(f"device {device!r} is not auto, cpu, cuda or cuda:<index>")
    return device.split(":")[0], int(match.group(1) or 0)


def check_device(device: str) -> None:
    """Refuse, before any model is loaded, a device that cannot be had.

    Raises:
        DeviceError: another word, or CUDA by name where it does not work.
    """
    if parse_device(device)[0] != "cuda":
        return
    with tempfile.TemporaryDirectory(prefix="vaekit-") as folder:
        graph = Path(folder) / "probe.onnx"
        graph.write_bytes(_PROBE)
        open_session(graph, device, threads=1)


def open_session(path: Path, device: str, threads: int | None = None) -> Any:
    """An onnxruntime.InferenceSession of the graph on the device.

    Args:
        path: the graph.
        device: "cpu", "cuda", "cuda:<index>", or "auto": CUDA where it works, else the CPU.
        threads: intra-op threads, None: one per core this process may use, 8 at most.

    Raises:
        DeviceError: CUDA was asked for by name and the session did not get it.
    """
    check_distribution()
    import onnxruntime

    kind, index = parse_device(device)
    if kind == "cpu" or (kind == "auto" and CUDA not in onnxruntime.get_available_providers()):
        return _session(path, [CPU], threads)
    try:
        return _cuda_session(path, index, threads)
    except DeviceError:
        if kind == "cuda":
            raise
        return _session(path, [CPU], threads)


def _cuda_session(path: Path, index: int, threads: int | None) -> Any:
    import onnxruntime

    if CUDA not in onnxruntime.get_available_providers():
        raise DeviceError("device cuda: this ONNX Runtime has no CUDA provider; install vaekit[gpu]")
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # finds the libraries that pip installed beside it
    options = {"device_id": str(index), "use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
    try:
        session = _session(path, [(CUDA, options), CPU], threads)
    except Exception as exc:  # the native layer raises what it likes; whatever it is, there is no CUDA
        raise DeviceError(f"device cuda:{index}: {exc}") from exc
    if CUDA not in session.get_providers():  # ONNX Runtime falls back to the CPU without an error
        raise DeviceError(f"device cuda:{index}: ONNX Runtime fell back to {session.get_providers()}")
    return session


def _session(path: Path, providers: list[Any], threads: int | None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or min(cpu_count(), MOST_THREADS)
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
