"""How much is measured, and what it should come to, in full and quickly. Knows numbers, not how they are measured."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.report import Measured


@dataclass(frozen=True)
class Plan:
    """What a part is told."""

    quick: bool
    work: Path  # a folder for what is generated, emptied by whoever asked
    peers: Path | None  # the peers' virtual environments; none: they are left out
    data: Path | None = None  # a folder with mnist_train.npz and mnist_test.npz

    def pick(self, full: Any, quick: Any) -> Any:
        return quick if self.quick else full


def in_a_folder(measure: Callable[[Plan], Measured], plan: Plan) -> Measured:
    """A part, told a folder of its own below the plan's, which is gone afterwards."""
    plan.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=plan.work) as work:
        return measure(replace(plan, work=Path(work)))
