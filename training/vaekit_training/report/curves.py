"""Charts of the course of a training run.

L validations, Z latent dimensions, M members, D columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vaekit_training.config import Config
from vaekit_training.loop.tracking import History, Validation
from vaekit_training.report.parts import Figure, Section, number
from vaekit_training.report.svg import Axis, Chart

MOST_VALIDATIONS = 80  # points of a line; more of them cannot be distinguished
MOST_LINES = 16  # latent dimensions in a chart
WORST = 6  # number of columns whose log-likelihood is highlighted


def section(history: History, config: Config, columns: dict[int, str]) -> Section:
    """The section on training: charts by step. columns: name of each column to plot, by its index."""
    validations = _some(history.validations)
    figures = [objective(validations, history.best, config), terms(validations)]
    if any(v.beta != validations[-1].beta for v in validations):
        figures.append(beta(validations))
    figures += [latents(validations), active(validations)]
    if columns:
        figures.append(by_column(validations, columns))
    return Section("training", "Training", (summary(history, config),), tuple(figures))


def summary(history: History, config: Config) -> str:
    """The kept step and its objective and ELBO, as text."""
    best, last = history.best, history.validations[-1]
    why = "stopped early" if history.stopped_early else "ran to the last step"
    return (
        f"The weights of step {best.step:,} of {last.step:,} were kept ({why}). Means over all validation rows: "
        f"objective {number(best.objective, 6)} nats{_at_beta(config)}, ELBO {number(best.elbo, 6)}, "
        f"log evidence {number(best.log_evidence, 6)}, KL {number(best.kl, 4)}."
    )


def _at_beta(config: Config) -> str:
    """The final beta as text; empty if the objective has none."""
    return f" at beta = {config.objective.shown_beta}" if config.objective.name == "elbo" else ""


def objective(validations: Sequence[Validation], best: Validation, config: Config) -> Figure:
    """Chart of training and validation objective, negative ELBO (beta = 1) and negative log evidence."""
    steps = [v.step for v in validations]
    same = all(v.objective == -v.elbo for v in validations)
    lines = [("s5", "training objective, at the beta of the step", [v.train_objective for v in validations])]
    if not same:
        lines.append(("s1", f"validation objective{_at_beta(config)}", [v.objective for v in validations]))
    label = "validation objective, \u2212ELBO (beta = 1)" if same else "validation \u2212ELBO (beta = 1)"
    lines.append(("s1" if same else "s2 dash", label, [-v.elbo for v in validations]))
    lines.append(("s3 dotted", "validation \u2212log evidence", [-v.log_evidence for v in validations]))
    validation = np.array([values for _, _, values in lines[1:]])  # (lines, L)
    low, high = np.quantile(validation, [0.0, 0.9])
    room = 0.3 * (high - low) + 0.02 * max(abs(low), abs(high))
    chart = Chart(Axis(0, steps[-1]), Axis.over([low - room, high + room]), "step", "nats per row")
    for css, _, values in lines:
        chart.line(steps, values, css)
    chart.vertical(best.step, "s6 thin dash")
    keys = (*((f"line {css}", label) for css, label, _ in lines), ("line s6 thin dash", f"kept: step {best.step:,}"))
    return Figure(
        "Objective",
        chart.svg("objectives by step, nats per row; lower is better"),
        keys,
        "Values beyond the frame are not shown.",
    )


def terms(validations: Sequence[Validation]) -> Figure:
    """Charts of the reconstruction term and the KL of the validation rows."""
    steps = [v.step for v in validations]
    kl, reconstruction = (
        [v.kl for v in validations],
        [-v.log_likelihood for v in validations],
    )
    x = Axis(0, steps[-1])
    low, high = np.quantile(reconstruction, [0.0, 0.95])
    upper = Chart(x, Axis.over([low, high], margin=0.1), "", "nats", height=125).line(steps, reconstruction, "s1")
    lower = Chart(x, Axis.over(kl, 0.0), "step", "nats", height=135).line(steps, kl, "s2")
    body = upper.svg("minus log-likelihood by step") + lower.svg("KL by step")
    keys = (("line s1", "reconstruction, \u2212E[log p(x|z)]"), ("line s2", "KL(q(z|x) || p(z))"))
    return Figure("Reconstruction and KL", body, keys, "On validation rows; their sum is the negative ELBO.")


def beta(validations: Sequence[Validation]) -> Figure:
    """Chart of beta."""
    steps, values = [v.step for v in validations], [v.beta for v in validations]
    chart = Chart(Axis(0, steps[-1]), Axis(0, max(values) * 1.05), "step", "beta").line(steps, values, "s1")
    return Figure("Weight of the KL", chart.svg("beta by step"))


def latents(validations: Sequence[Validation]) -> Figure:
    """Chart of the KL of the latent dimensions with the largest KL at the end."""
    steps = [v.step for v in validations]
    kl = np.array([np.ravel(v.kl_by_latent) for v in validations])  # (L, Z) or (L, M Z)
    order = np.argsort(-kl[-1])[:MOST_LINES]
    chart = Chart(Axis(0, steps[-1]), Axis.over(kl[:, order], 0.0), "step", "nats")
    for rank, j in enumerate(order):
        chart.line(steps, kl[:, j], "s1 thin" if rank % 2 else "s2 thin")
    more = f", the {MOST_LINES} largest of {kl.shape[1]}" if kl.shape[1] > MOST_LINES else ""
    return Figure(
        "KL by latent dimension",
        chart.svg("KL of each latent dimension by step"),
        caption=f"KL(q(z_j|x) || N(0, 1)), one line for each dimension{more}.",
    )


def active(validations: Sequence[Validation]) -> Figure:
    """Chart of the number of active latent dimensions."""
    steps, units = (
        [v.step for v in validations],
        [v.active_units for v in validations],
    )
    chart = Chart(Axis(0, steps[-1]), Axis(0, max(*units, 1) * 1.1), "step", "dimensions").line(steps, units, "s1")
    return Figure("Active units", chart.svg("active units by step"), caption="Latent dimensions with Var[mu_j] > 0.01.")


def by_column(validations: Sequence[Validation], columns: dict[int, str]) -> Figure:
    """Chart of the log-likelihood of each column, minus its value at the first validation."""
    steps = [v.step for v in validations]
    names = list(columns.values())
    values = np.array([v.log_likelihood_by_feature for v in validations])[:, list(columns)]  # (L, D')
    gain = values - values[0]
    order = np.argsort(gain[-1])
    low, high = np.quantile(gain, [0.005, 1.0])
    chart = Chart(Axis(0, steps[-1]), Axis.over([low, high]), "step", "nats")
    for d in order[WORST:][:40]:
        chart.line(steps, gain[:, d], "s5 thin faint")
    styles = [f"s{colour}{dash}" for dash in ("", " dash") for colour in (1, 2, 3)]
    keys = []
    for css, d in zip(styles, order[:WORST], strict=False):
        chart.line(steps, gain[:, d], css)
        keys.append((f"line {css}", names[d]))
    return Figure(
        "Log-likelihood by column, gain since the first validation",
        chart.svg("gain of log-likelihood by column and step"),
        tuple(keys),
        "In colour: the columns with the smallest gain.",
    )


def _some(validations: Sequence[Validation]) -> list[Validation]:
    """At most MOST_VALIDATIONS validations at equal distances, including the last one."""
    index = np.unique(np.linspace(0, len(validations) - 1, min(len(validations), MOST_VALIDATIONS)).round().astype(int))
    return [validations[i] for i in index]
