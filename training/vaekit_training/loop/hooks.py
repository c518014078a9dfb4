"""Callbacks of a training loop, and where it saves and resumes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from vaekit_training.loop.tracking import Validation


def _nothing(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Hooks:
    """Callbacks of a run, and where it saves and resumes. Only rank 0 calls those from on_step to warn."""

    on_step: Callable[[int], None] = _nothing
    on_validation: Callable[[Validation], None] = _nothing
    on_best: Callable[[Validation], None] = _nothing  # before on_validation: its weights are the best so far
    warn: Callable[[str], None] = _nothing
    stop: Callable[[], bool] = lambda: False  # called after every step; if it returns true, save and stop
    checkpoint: Path | None = None  # file to save to; None: do not save
    resume: bool = False  # whether to resume from that file
    signature: str = ""  # digest of the data; a checkpoint with another signature is refused
    rows: NDArray[Any] | None = None  # row number in the data of each training row, for messages
