"""A run in its own process, for tests that terminate it: python -m tests.training.resuming FOLDER [resume] [settings].

Says each step on stdout, and at the end the digest of its weights.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import torch

from tests.training.models import case
from vaekit.errors import Interrupted
from vaekit_training.loop.distributed import world
from vaekit_training.loop.fit import fit
from vaekit_training.loop.hooks import Hooks
from vaekit_training.loop.run_folder import terminations
from vaekit_training.network_rows import network_rows

KINDS = {
    "normal": "gaussian, scale from the network",
    "aggregate": "aggregate prior",
    "bits": "bernoulli, dithered images",
}


def main(folder: Path, arguments: list[str]) -> int:
    torch.set_num_threads(1)
    resume = "resume" in arguments
    settings = [a for a in arguments if "=" in a]
    one = case(KINDS[os.environ.get("KIND", "normal")], *settings)
    train = network_rows(one.vae, one.rows.x)
    with world("cpu") as (ranks, _), terminations() as told:
        hooks = Hooks(
            on_step=lambda step: print(f"step {step}", flush=True),
            stop=told, checkpoint=folder / "checkpoint.pt", resume=resume, signature="these rows",
        )  # fmt: skip
        try:
            history = fit(
                one.vae, train.slice(0, 30), train.slice(30, 40), one.config, components=train, hooks=hooks, world=ranks
            )
        except Interrupted as exc:
            print(exc, flush=True)
            return 143
        if ranks.is_first:
            print("objectives", [validation.train_objective for validation in history.validations], flush=True)
            print("weights", digest(one.vae), flush=True)
    return 0


def digest(module: torch.nn.Module) -> str:
    sha = hashlib.sha256()
    for value in module.state_dict().values():
        sha.update(value.contiguous().numpy().tobytes())
    return sha.hexdigest()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
