"""Trains the models that answer four questions about VAE losses (docs/explanation/questions.md) and prints the results.

python examples/questions.py [--data DIR] [--out build/questions]

--data: a folder with mnist*train.npz and cifar10*train.npz, X (n, H, W[, C]) uint8, to use instead of the data
sets in scikit-learn.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from vaekit_training.config import load_config
from vaekit_training.run import run
from vaekit_training.trained import Trained

HERE = Path(__file__).resolve().parent / "questions"
DRAWS = 64  # per test row
CELLS = 2**24  # values per call
ACTIVE = 1e-2  # a latent dimension is active if Var_x[mu_j] > ACTIVE (Burda et al. 2016)
console = Console(highlight=False)


@dataclass(frozen=True)
class System:
    """One model to train: a config and changes to it."""

    name: str
    config: str
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """Means over the test rows, in nats per row."""

    name: str
    elbo: float
    standard_error: float
    gain: float  # ELBO minus the ELBO of the first comparable system of the same question, on the same rows
    gain_error: float
    log_likelihood: float
    kl: float
    active_units: int
    latent_dim: int
    bits_per_dim: float | None  # None if the ELBO is not a probability of pixels
    rows: int
    steps: int
    seconds: float


TANH, AFFINE, FROM_NETWORK = 'network.output="tanh"', 'network.output="linear"', 'likelihood.scale="network"'
SYSTEMS = (
    System("q2 mean MSE + 1e-4 KL", "q2-mean-mse"),
    System("q2 the same, one scale learned", "q2-mean-mse", ('likelihood.scale="shared"',)),
    System("q2 the same, scale from the network", "q1-unbounded-rows"),
    System("q3 tanh, scale from the network", "q3-learned-scale", (TANH,)),
    System("q3 as asked: tanh, mean MSE + mean KL", "q3-tanh"),
    System("q3 affine, scale from the network", "q3-learned-scale"),
    System("q3 affine, pixels as 0..1", "q3-learned-scale", ('network.scaling="unit"',)),
    System("q3 affine, pixels as -1..1", "q3-learned-scale", ('network.scaling="symmetric"',)),
    System("q3 tanh, pixels as -1..1", "q3-learned-scale", ('network.scaling="symmetric"', TANH)),
    System("q4 BCE x D + KL", "q4-bce"),
    System("q4 blog: mean BCE + mean KL", "q4-blog"),
    System("q4 MSE x D + KL", "q4-mse"),
    System("q4 the same, one scale learned", "q4-mse", ('likelihood.scale="shared"',)),
    System("q4 a mixture of logistics", "q4-mse", (AFFINE, 'likelihood.name="discretized_logistic"', FROM_NETWORK)),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Train every system and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of mnist*train.npz and cifar10*train.npz")
    parser.add_argument("--only", default="", help="train only systems whose names start with this, such as q3")
    parser.add_argument(
        "--set", action="append", default=[], metavar="section.key=value", help="value to change in every config"
    )
    parser.add_argument("--out", type=Path, default=Path("build/questions"), help="folder for results.json")
    options = parser.parse_args(argv)
    results: list[Result] = []
    first: dict[tuple[str, bool], torch.Tensor] = {}  # ELBO per row, by question and whether it is over pixels
    for system in (s for s in SYSTEMS if s.name.startswith(options.only)):
        results.append(result(system, [*data_of(system, options.data), *options.set], first))
        console.print(f"{system.name}: ELBO {results[-1].elbo:.2f} after {results[-1].seconds:.0f} s")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "results.json").write_text(json.dumps([asdict(r) for r in results], indent=2) + "\n")
    show(results)


def data_of(system: System, folder: Path | None) -> list[str]:
    """The settings that replace scikit-learn's data with the files in the folder."""
    if folder is None or system.config.startswith(("q1", "q2")):
        return []
    name = "cifar10*train.npz" if system.config.startswith("q3") else "mnist*train.npz"
    found = sorted(folder.glob(name))
    if not found:
        raise SystemExit(f"--data {folder}: no file {name} in this folder")
    beta = ["objective.beta=392"] if system.config == "q4-blog" else []  # D / Z with D = 784 instead of 64
    return [f'data.source="{found[0]}"', *beta]


def result(system: System, more: Sequence[str], first: dict[tuple[str, bool], torch.Tensor]) -> Result:
    """Train a system and score its test rows, which are the same for every system of a question."""
    started = time.perf_counter()
    trained = run(load_config(HERE / f"{system.config}.toml", [*system.changes, *more]))
    elbo, log_likelihood, kl, mu = terms(trained)
    pixels = trained.rows.is_image and trained.config.likelihood.binarize == "none"
    mean, gain = float(elbo.mean()), elbo - first.setdefault((system.name[:2], pixels), elbo)
    return Result(
        name=system.name,
        elbo=mean,
        standard_error=error(elbo),
        gain=float(gain.mean()),
        gain_error=error(gain),
        log_likelihood=float(log_likelihood.mean()),
        kl=float(kl.mean()),
        active_units=int((mu.var(0) > ACTIVE).sum()),
        latent_dim=mu.shape[1],
        bits_per_dim=-mean / (trained.vae.features.dim * math.log(2)) if pixels else None,
        rows=len(elbo),
        steps=trained.history.validations[-1].step,
        seconds=time.perf_counter() - started,
    )


def error(values: torch.Tensor) -> float:
    """Standard error of the mean."""
    return float(values.std()) / math.sqrt(len(values))


@torch.no_grad()
def terms(trained: Trained) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """ELBO, log-likelihood and KL (n,) and mu (n, Z) of the test rows, with independent draws per row."""
    vae, generator = trained.vae.eval(), torch.Generator().manual_seed(1)
    x = torch.from_numpy(trained.rows.x[trained.splits.test])
    parts = []
    for rows in x.split(max(1, CELLS // (DRAWS * vae.features.dim * 8))):
        eps = torch.randn(len(rows), DRAWS, vae.latent_dim, generator=generator)
        bound = vae.bound(rows, eps)
        parts.append((bound.elbo, bound.log_likelihood, bound.kl, vae.encode(rows)[0]))
    elbo, log_likelihood, kl, mu = (torch.cat(part) for part in zip(*parts, strict=True))
    return elbo, log_likelihood, kl, mu


def show(results: Sequence[Result]) -> None:
    """Print the results as a table."""
    table = Table("system", "ELBO", "gain", "log-likelihood", "KL", "active", "bits/dim", "steps")
    for r in results:
        table.add_row(
            r.name,
            f"{r.elbo:.1f} ± {r.standard_error:.1f}",
            f"{r.gain:.1f} ± {r.gain_error:.1f}",
            f"{r.log_likelihood:.1f}",
            f"{r.kl:.2f}",
            f"{r.active_units}/{r.latent_dim}",
            "" if r.bits_per_dim is None else f"{r.bits_per_dim:.3f}",
            str(r.steps),
        )
    console.print(table)


if __name__ == "__main__":
    main()
