"""Scores from Parquet to Parquet with all columns, as `vae score` does."""

from __future__ import annotations

from benchmarks.scoring.arms.common import parse_arguments, print_result
from benchmarks.training.arms.stream import Sampler, resident
from vaekit.runtime import Model
from vaekit.scoring import LocalScorer, Options, score_folder

WARM_UP = 512  # rows, not counted


def main() -> None:
    """Score, sample memory, print."""
    arguments = parse_arguments()
    with Model.load(arguments.bundle, device="cpu", threads=1) as model:
        scorer = LocalScorer(model, num_samples=arguments.num_samples, at_once=arguments.threads)
        _warm(scorer)
        start = resident()
        with Sampler() as sampler:
            done = score_folder(
                scorer,
                arguments.source,
                arguments.out,
                options=Options(columns=() if arguments.bare else None),
                progress=lambda parts, _, __: setattr(sampler, "step", parts),
            )
    print_result(done.rows, done.seconds, start_bytes=start, samples=sampler.samples)


def _warm(scorer: LocalScorer) -> None:
    from benchmarks.scoring.rows import rows

    scorer.score(rows(WARM_UP))


if __name__ == "__main__":
    main()
