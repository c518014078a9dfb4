"""Callbacks and settings that connect a training loop to its surroundings."""

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
    """Callbacks of a run, and where it saves and resumes. Only the first rank calls back."""

    on_step: Callable[[int], None] = _nothing
    on_validation: Callable[[Validation], None] = _nothing
    warn: Callable[[str], None] = _nothing
    stop: Callable[[], bool] = lambda: False  # asked after every step; if true, save and stop
    checkpoint: Path | None = None  # where to save
    resume: bool = False  # resume from that file
    signature: str = ""  # of the data; a checkpoint of other data is refused
    rows: NDArray[Any] | None = None  # numbers in the data of the training rows, for messages
