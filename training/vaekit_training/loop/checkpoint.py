"""Writes and reads checkpoints atomically."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

from vaekit.bundle.disk import writing
from vaekit.bundle.write import sync
from vaekit.errors import InputError

FORMAT = 1


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors and plain values to the file; after a crash the file is either the old or the new one.

    Raises:
        StorageError: it cannot be written; the old file is still there.
    """
    temp = path.with_name(f".{path.name}.{os.getpid()}")
    then = f"free some space, then go on with vae train --resume {path.parent}" if path.exists() else ""
    with writing(path, then):
        try:
            with temp.open("wb") as file:
                _write(file, {"format": FORMAT, **state})
                file.flush()
                os.fsync(file.fileno())
            temp.replace(path)
        finally:
            temp.unlink(missing_ok=True)
        sync(path.parent)


def _write(file: BinaryIO, state: Mapping[str, Any]) -> None:
    """torch.save; torch reports some errors of the file as RuntimeError, with the OSError in their context."""
    try:
        torch.save(state, file)
    except RuntimeError as exc:
        cause: BaseException | None = exc
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__context__
        raise exc if cause is None else cause from exc


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
