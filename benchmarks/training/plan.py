"""How much is measured, and what it should come to, in full and quickly. Knows numbers, not how they are measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Plan:
    """What a part is told."""

    quick: bool
    work: Path  # a folder for what is generated, emptied by whoever asked
    peers: Path | None  # the peers' virtual environments; none: they are left out
    data: Path | None = None  # a folder with mnist_train.npz and mnist_test.npz

    def pick(self, full: Any, quick: Any) -> Any:
        return quick if self.quick else full
