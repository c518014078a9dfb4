"""Compares -log p(x) of statically binarised MNIST with published figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.plan import Plan
from benchmarks.processes import run_arm
from benchmarks.report import Figure, Measured

MINUTES = 90.0  # target for the minutes of one core; 45 on two cores
CITED = {
    "MLP VAE 784-400-40, static binarisation, 200 draws (pythae's reproduction)": 89.78,
    "IWAE, one layer, K = 50, static binarisation (Burda et al. 2016)": 87.1,
    "IWAE, one layer, K = 50, static binarisation (pythae's reproduction)": 86.82,
    "convolutional ladder VAE, 3 layers, static binarisation, 1,000 draws (ladder-vae-pytorch)": 79.24,
}


@dataclass(frozen=True)
class Recipe:
    """A recipe of arms.density, with its length and target."""

    name: str
    label: str
    steps: int
    test_rows: int
    draws: int
    target: float | None = None  # nats


FULL = (
    Recipe("mlp", "MLP 784-400-40", steps=400_000, test_rows=10_000, draws=5_000, target=90.0),
    Recipe("iwae", "MLP 784-400-40, IWAE K = 50", steps=30_000, test_rows=4_000, draws=5_000),
    Recipe("conv", "convolutional", steps=50_000, test_rows=1_000, draws=1_000),
)
QUICK = (Recipe("mlp", "MLP 784-400-40", steps=4_400, test_rows=300, draws=1_000, target=106.0),)


def measure(plan: Plan) -> Measured:
    """Measure every recipe in turn; no figures without --data."""
    if plan.data is None:
        return Measured([], {"left_out": "no --data"})
    figures, facts = [], {}
    for recipe in plan.pick(FULL, QUICK):
        found = run_arm("training.arms.density", _arguments(recipe, plan))
        figures += of(recipe, found)
        facts[recipe.name] = {**found, "steps": recipe.steps, "draws": recipe.draws}
    return Measured(figures, {**facts, "published": CITED})


def of(recipe: Recipe, found: dict[str, Any]) -> list[Figure]:
    """-log p(x) with a range of one standard error, and the minutes of training."""
    nll, error = found["nll"], found["standard_error"]
    name = f"MNIST, {recipe.label}: -log p(x), {found['rows']:,} rows, {recipe.draws:,} draws"
    return [
        Figure(name, nll, "nats", nll - error, nll + error, target=recipe.target),
        Figure(f"MNIST, {recipe.label}: training", found["train_cpu_seconds"] / 60, "min of one core", target=MINUTES),
    ]


def _arguments(recipe: Recipe, plan: Plan) -> list[str]:
    given = {
        "recipe": recipe.name,
        "data": plan.data,
        "steps": recipe.steps,
        "test-rows": recipe.test_rows,
        "draws": recipe.draws,
    }
    return [part for name, value in given.items() for part in (f"--{name}", str(value))]
