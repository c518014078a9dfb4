"""Scores on a local Ray cluster with a number of actors; the cluster starts before the measurement."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.scoring.arms.common import print_result
from vaekit.runtime import Model
from vaekit.scoring import LocalScorer, Options, score_folder
from vaekit.scoring.batch.ray_engine import Actors, ScorerFactory, on_ray


def main() -> None:
    """Score, print; the seconds include the start of the actors."""
    parser = argparse.ArgumentParser()
    for name, kind in (("bundle", Path), ("source", Path), ("out", Path), ("actors", int), ("part-rows", int)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    arguments = parser.parse_args()
    factory = ScorerFactory(str(arguments.bundle.absolute()), {"num_samples": None, "alpha": 0.05, "explain": None})
    with (
        on_ray(factory, Actors(arguments.actors, arguments.actors)) as engine,
        Model.load(arguments.bundle, device="cpu", threads=1) as model,
    ):
        options = Options(part_rows=arguments.part_rows)
        done = score_folder(LocalScorer(model), arguments.source, arguments.out, options=options, engine=engine)
    print_result(done.rows, done.seconds)


if __name__ == "__main__":
    main()
