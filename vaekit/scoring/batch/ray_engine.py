"""Scores the parts of a folder on Ray Data: fragments in, records out.

Ray Data hands out fragments, not rows: each actor reads its own fragment and writes its own part by the code that one
process uses, so that nothing of the rows travels, parts and records are the same, and a run may go on with either.
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

from vaekit.errors import InputError, VaeError
from vaekit.runtime import Model
from vaekit.scoring.batch.folder import Engine, Numbered, PartJob
from vaekit.scoring.batch.parts import PartRecord
from vaekit.scoring.scorers import LocalScorer, ScoringOptions

if TYPE_CHECKING:
    from vaekit.bundle.manifest import Precision

Row = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """How an actor comes by its scorer. The bundle's folder is one that every machine of the cluster sees."""

    bundle: str
    asked: ScoringOptions
    precision: Precision = "float32"
    device: Literal["cpu", "cuda"] = "cpu"  # an actor has a core, or a card

    def make(self) -> LocalScorer:
        """A scorer whose graphs run on one thread each."""
        model = Model.load(self.bundle, device=self.device, threads=1, precision=self.precision)
        return LocalScorer(model, **self.asked)


@dataclass(frozen=True)
class Actors:
    """How many there are: Ray starts more while fragments wait, and ends those that are idle."""

    least: int = 1
    most: int | None = None  # None: one for each core or card

    @classmethod
    def of(cls, text: str | None) -> Actors:
        """From `2:8`, or `4` for just as many.

        Raises:
            InputError: neither.
        """
        if text is None:
            return cls()
        least, colon, most = text.partition(":")
        try:
            found = cls(int(least), int(most if colon else least))
        except ValueError:
            raise InputError(f"actors: {text!r}, expected MIN:MAX, as 1:8") from None
        if not 1 <= found.least <= (found.most or 0):
            raise InputError(f"actors: {text!r}, expected 1 <= MIN <= MAX")
        return found


class Actor:
    """One model, open as long as the actor lives."""

    def __init__(self, recipe: Recipe, job: PartJob, todo: dict[int, Any]) -> None:
        self._scorer = recipe.make()
        self._job, self._todo = job, todo

    def __call__(self, rows: Row) -> Row:
        """Score the fragments of these numbers; what is refused travels as words, since Ray wraps what is raised."""
        records, errors = [], []
        for number in rows["number"].tolist():
            try:
                record = self._job.score(self._scorer, number, self._todo[number])
                records.append(json.dumps(record.to_json()))
                errors.append("")
            except VaeError as exc:
                records.append("")
                errors.append(str(exc))
        return {"record": np.array(records, dtype=object), "error": np.array(errors, dtype=object)}


@contextmanager
def on_ray(recipe: Recipe, actors: Actors) -> Iterator[Engine]:
    """Actors on this process's cluster, the environment's, or one of this machine's own; quiet, as errors are raised.

    Who connects here leaves here too, so that nothing of Ray is left to speak after who asked has reported.

    Raises:
        ModuleNotFoundError: ray is not installed.
    """
    import ray
    from ray.data import DataContext

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else a cluster that is started here reports its use
    ours = not ray.is_initialized()
    if ours:
        ray.init(logging_level=logging.ERROR, include_dashboard=False, log_to_driver=False)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    DataContext.get_current().enable_progress_bars = False  # the parts are counted by who asked

    def score(job: PartJob, todo: Sequence[Numbered]) -> Iterator[PartRecord]:
        if todo:
            yield from _run(recipe, actors, job, dict(todo))

    try:
        yield score
    finally:
        if ours:
            ray.shutdown()


def _run(recipe: Recipe, actors: Actors, job: PartJob, todo: dict[int, Any]) -> Iterator[PartRecord]:
    import ray

    resources: dict[str, float] = ray.cluster_resources()
    cards = recipe.device == "cuda"
    there = int(resources.get("GPU" if cards else "CPU", 1))
    most = min(actors.most or max(1, there), len(todo))
    fragments = ray.data.from_items([{"number": number} for number in todo], override_num_blocks=len(todo))
    scored = fragments.map_batches(
        Actor,
        fn_constructor_args=(recipe, job, todo),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(min_size=min(actors.least, most), max_size=most),
        num_cpus=0 if cards else 1,
        num_gpus=1 if cards else 0,
    )
    for row in scored.iter_rows():
        if row["error"]:
            raise InputError(row["error"])
        yield PartRecord.from_json(json.loads(row["record"]))
