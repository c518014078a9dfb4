"""The options that all parts of a benchmark share."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.report import Measured


@dataclass(frozen=True)
class Plan:
    """The options of a run."""

    quick: bool
    work: Path  # a folder for generated files; the caller empties it
    peers: Path | None  # folder of the peers' virtual environments; None: peers are left out
    data: Path | None = None  # a folder with mnist_train.npz and mnist_test.npz

    def pick(self, full: Any, quick: Any) -> Any:
        return quick if self.quick else full


def in_temporary_folder(measure: Callable[[Plan], Measured], plan: Plan) -> Measured:
    """Run a part with its own temporary folder below the plan's."""
    plan.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=plan.work) as work:
        return measure(replace(plan, work=Path(work)))
