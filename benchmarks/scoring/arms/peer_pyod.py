"""Scores with decision_function of PyOD's VAE, which has the same networks. Runs in its own virtual environment."""

from __future__ import annotations

import numpy as np
import torch
from pyarrow import parquet
from pyod.models.vae import VAE

from benchmarks.scoring.arms.common import Stopwatch, parse_arguments, print_result

HIDDEN, LATENT = [128, 128], 8
FITTED_ON = 4_096


def main() -> None:
    """Fit for a few steps, score rows in memory, print."""
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    files = sorted(arguments.source.glob("*.parquet"))
    x = np.concatenate([np.column_stack([c.to_numpy() for c in parquet.read_table(f).columns]) for f in files])
    detector = VAE(
        encoder_neuron_list=HIDDEN,
        decoder_neuron_list=HIDDEN[::-1],
        latent_dim=LATENT,
        epoch_num=1,
        batch_size=arguments.batch,
        verbose=0,
        device="cpu",
    )
    detector.fit(x[:FITTED_ON])
    detector.decision_function(x[:FITTED_ON])
    with Stopwatch() as wall:
        detector.decision_function(x)
    print_result(len(x), wall.seconds)


if __name__ == "__main__":
    main()
