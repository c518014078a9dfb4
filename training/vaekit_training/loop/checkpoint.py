"""Writes and reads checkpoints atomically."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vaekit.bundle.write import sync
from vaekit.errors import InputError

FORMAT = 1


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors and plain values to the file; after a crash the file is either the old or the new one."""
    temp = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temp.open("wb") as file:
            torch.save({"format": FORMAT, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        temp.replace(path)
    finally:
        temp.unlink(missing_ok=True)
    sync(path.parent)


def load(path: Path) -> dict[str, Any]:
    """The saved state, on the CPU. Loading does not execute code from the file.

    Raises:
        InputError: the file does not exist, or is not a checkpoint of this format.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as exc:
        raise InputError(f"{path}: no checkpoint to resume from") from exc
    except Exception as exc:
        raise InputError(f"{path}: not a checkpoint: {str(exc).splitlines()[0]}") from exc
    found = state.get("format") if isinstance(state, dict) else None
    if found != FORMAT:
        raise InputError(f"{path}: checkpoint format {found}; this version reads format {FORMAT}")
    return dict(state)
