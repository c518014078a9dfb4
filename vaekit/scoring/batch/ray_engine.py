"""Scores the parts of a folder on Ray Data.

Ray Data distributes fragments, not rows. Each actor reads its fragment and writes its part with the same code as the
local engine. Both engines therefore write the same parts and records, and a run can be resumed with either.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vaekit.errors import InputError, StorageError, VaeError
from vaekit.runtime import Model
from vaekit.scoring.batch.folder import Engine, Numbered, PartJob
from vaekit.scoring.batch.parts import PartRecord
from vaekit.scoring.scorers import LocalScorer, ScoringOptions

if TYPE_CHECKING:
    from vaekit.bundle.manifest import Precision

Row = dict[str, Any]


@dataclass(frozen=True)
class ScorerFactory:
    """Makes the scorer of an actor. The folder of the bundle must be readable on every machine of the cluster."""

    bundle: str  # path
    options: ScoringOptions
    precision: Precision = "float32"
    device: Literal["cpu", "cuda"] = "cpu"  # one core or one GPU per actor

    def make(self) -> LocalScorer:
        """Load the model, with one thread per call."""
        model = Model.load(self.bundle, device=self.device, threads=1, precision=self.precision)
        return LocalScorer(model, **self.options)


@dataclass(frozen=True)
class Actors:
    """Number of actors. Ray starts more while fragments wait and stops idle ones."""

    least: int = 1
    most: int | None = None  # None: one per core or GPU

    @classmethod
    def of(cls, text: str | None) -> Actors:
        """Parse `MIN:MAX` such as `2:8`, or one number such as `4` for exactly four actors; None: the default.

        Raises:
            InputError: the text is not a valid range or number.
        """
        if text is None:
            return cls()
        least, colon, most = text.partition(":")
        try:
            found = cls(int(least), int(most if colon else least))
        except ValueError:
            raise InputError(f"actors: {text!r}, expected a number or MIN:MAX, such as 4 or 1:8") from None
        if not 1 <= found.least <= (found.most or 0):
            raise InputError(f"actors: {text!r}, expected 1 <= MIN <= MAX")
        return found


class Actor:
    """A Ray actor with its own copy of the model."""

    def __init__(self, factory: ScorerFactory, job: PartJob, todo: dict[int, Any]) -> None:
        self._scorer = factory.make()
        self._job, self._todo = job, todo

    def __call__(self, rows: Row) -> Row:
        """Score the fragments with these numbers. Errors are returned as texts, because Ray wraps exceptions."""
        records, errors, kinds = [], [], []
        for number in rows["number"].tolist():
            try:
                record = self._job.score(self._scorer, number, self._todo[number])
                records.append(json.dumps(record.to_json()))
                errors.append("")
                kinds.append("")
            except VaeError as exc:
                records.append("")
                errors.append(str(exc))
                kinds.append(type(exc).__name__)
        texts = {"record": records, "error": errors, "kind": kinds}
        return {name: np.array(values, dtype=object) for name, values in texts.items()}


def check(row: Row) -> None:
    """Raise the error that an actor returned in a row, if there is one.

    Raises:
        StorageError: a part could not be written.
        InputError: any other error.
    """
    if row["error"]:
        raise (StorageError if row["kind"] == StorageError.__name__ else InputError)(row["error"])


@contextmanager
def on_ray(factory: ScorerFactory, actors: Actors) -> Iterator[Engine]:
    """The engine that scores on Ray.

    It uses the cluster that this process is connected to, otherwise the cluster in RAY_ADDRESS, otherwise it starts a
    local one. Ray's logs are off, because errors are raised as exceptions. A connection made here is also closed here,
    so that Ray prints nothing after the summary of the run.

    Raises:
        ModuleNotFoundError: ray is not installed.
    """
    import ray
    from ray.data import DataContext

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage reports from a cluster started here
    connected_here = not ray.is_initialized()
    if connected_here:
        ray.init(logging_level=logging.ERROR, include_dashboard=False, log_to_driver=False)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    DataContext.get_current().enable_progress_bars = False  # the caller shows the progress in parts

    def score(job: PartJob, todo: Sequence[Numbered]) -> Iterator[PartRecord]:
        if todo:
            yield from _run(factory, actors, job, dict(todo))

    try:
        yield score
    finally:
        if connected_here:
            ray.shutdown()


def _run(factory: ScorerFactory, actors: Actors, job: PartJob, todo: dict[int, Any]) -> Iterator[PartRecord]:
    import ray

    resources: dict[str, float] = ray.cluster_resources()
    on_gpu = factory.device == "cuda"
    available = int(resources.get("GPU" if on_gpu else "CPU", 1))
    most = min(actors.most or max(1, available), len(todo))
    fragments = ray.data.from_items([{"number": number} for number in todo], override_num_blocks=len(todo))
    scored = fragments.map_batches(
        Actor,
        fn_constructor_args=(factory, job, todo),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(min_size=min(actors.least, most), max_size=most),
        num_cpus=0 if on_gpu else 1,
        num_gpus=1 if on_gpu else 0,
    )
    for row in scored.iter_rows():
        check(row)
        yield PartRecord.from_json(json.loads(row["record"]))
