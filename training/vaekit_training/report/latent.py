"""Charts of the latent space: map, KL by dimension, traversals.

S steps of a traversal.
"""

from __future__ import annotations

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from vaekit.bundle.input_spec import VectorSpec
from vaekit_training.features import MASSES
from vaekit_training.loop.tracking import ACTIVE
from vaekit_training.report import image_sheets
from vaekit_training.report.facts import Facts, Traversal, by_member, kl_by_latent, spread
from vaekit_training.report.kernels import models
from vaekit_training.report.parts import Figure, Section, plural
from vaekit_training.report.svg import Axis, Chart

MOST_POINTS = 600  # largest number of points of each kind in a map
MOST_MEMBERS = 4  # largest number of members that get a map
MOST_BARS = 64  # latent dimensions in the KL spectrum
FAR = 1.0  # of a map with a kernel prior: see _range
LONGEST, ELLIPSIS = 28, "\u2026"  # characters of a column's name on an axis
NAMED, OTHERS = 5, 15  # largest number of columns in a traversal that are highlighted, and shown in grey
STYLES = ("s1", "s2", "s3", "s4 dash", "s1 dash")


def section(facts: Facts) -> Section:
    """The section on the latent space: which dimensions are active, and their effect on x."""
    if facts.has_kernels:
        return _of_rows(facts)
    of_all = "" if facts.active.size == facts.manifest.latent_dim else " of all members together"
    text = [
        f"{int(facts.active.sum())} of {facts.active.size} latent dimensions{of_all} are active: their posterior mean "
        f"varies over test rows, Var[mu_j] > {ACTIVE:g}."
    ]
    if not facts.active.all():
        text.append("The other dimensions carry no information about x, because their posterior is close to the prior.")
    if facts.manifest.prior.name == "aggregate":
        text.append("The prior is the mean of posteriors of training rows, but the KL by dimension is that to N(0, 1).")
    figures = [*maps(facts), spectrum(facts), *traversals(facts)]
    return Section("latent", "Latent space", tuple(text), tuple(figures))


def _of_rows(facts: Facts) -> Section:
    """The section for a kernel prior, where z is the standardised row: a map of the rows."""
    mu, columns = by_member(facts.posterior.mu)[0], models(facts.run.vae)[0].column.tolist()  # (N, Z)
    spec = facts.manifest.input
    assert isinstance(spec, VectorSpec)
    numbers = [j for j, d in enumerate(columns) if spec.columns[d].kind not in MASSES]  # a code of a level has no place
    text = (
        f"z is the standardised row: {plural(len(columns), 'dimension')}, one for each column that varies. Therefore "
        "there is no encoder to inspect, and E[x|z] is the row itself."
    )
    if len(numbers) < 2:
        return Section("latent", "Latent space", (f"{text} There is no map, because it needs two columns of numbers.",))
    a, b = (numbers[j] for j in leading(mu[:, numbers]))
    names = (spec.columns[columns[j]].name for j in (a, b))
    first, second = (
        f"{name if len(name) <= LONGEST else name[: LONGEST - 1] + ELLIPSIS}, standardised" for name in names
    )
    caption = (
        "The columns of numbers with the largest loadings of the first two principal components of the test rows. "
        "Points outside the range are drawn on the frame."
    )
    return Section("latent", "Latent space", (text,), (_map(facts, 0, (a, b), (first, second), "", caption),))


def leading(z: NDArray[np.float64]) -> tuple[int, int]:
    """Two columns of z (N, Z): those with the largest loading of the first and of the second principal component."""
    weights = np.abs(np.linalg.svd(z - z.mean(axis=0), full_matrices=False)[2])  # (at most Z, Z)
    a = int(weights[0].argmax())
    second = weights[min(1, len(weights) - 1)].copy()
    second[a] = -1.0
    return a, int(second.argmax())


def maps(facts: Facts) -> list[Figure]:
    """Map of each of the first members: posterior means in the two dimensions with the largest variance."""
    variance = spread(facts.posterior)  # (M, Z)
    figures = []
    for m in range(min(len(variance), MOST_MEMBERS)):
        of = f", member {m}" if len(variance) > 1 else ""
        order = np.argsort(-variance[m])
        a, b = int(order[0]), int(order[min(1, len(order) - 1)])
        labels, caption = (
            (f"mu, dimension {a}", f"mu, dimension {b}"),
            "Points outside the range are drawn on the frame.",
        )
        figures.append(_map(facts, m, (a, b), labels, of, caption))
    return figures


def _map(facts: Facts, m: int, at: tuple[int, int], labels: tuple[str, str], of: str, caption: str) -> Figure:
    """Draws of the prior, test rows and anomalies of member m in two latent dimensions, with these axis labels."""
    a, b = at
    mu, drawn = by_member(facts.posterior.mu)[m], facts.draws.latents
    if facts.draws.members is not None:
        drawn = drawn[facts.draws.members == m]
    x, y = (_range(facts, m, j, drawn) for j in at)
    chart = Chart(x, y, labels[0], labels[1], height=300)
    chart.points(drawn[:MOST_POINTS, a], drawn[:MOST_POINTS, b], "s5 faint")
    keys = [("dot s5", "latents drawn from the prior"), ("dot s1", "normal test rows")]
    chart.points(mu[:MOST_POINTS, a], mu[:MOST_POINTS, b], "s1")
    if facts.anomaly_posterior is not None:
        anomalies = by_member(facts.anomaly_posterior.mu)[m]
        chart.points(anomalies[:MOST_POINTS, a], anomalies[:MOST_POINTS, b], "s2 small")
        keys.append(("dot s2", "anomalies"))
    alt = f"posterior means of test rows: {labels[0]} and {labels[1]}{of}"
    return Figure(f"Latent map{of}", chart.svg(alt), tuple(keys), caption)


def _range(facts: Facts, m: int, j: int, drawn: NDArray[np.floating]) -> Axis:
    """The range of latent dimension j over all test rows, all draws, and 90 % of the anomalies.

    With a kernel prior, whose draws have heavy tails, it ends FAR times the width of 98 % of the draws beyond them.
    """
    values = [by_member(facts.posterior.mu)[m, :, j], drawn[:, j]]
    if facts.anomaly_posterior is not None:
        values.append(np.quantile(by_member(facts.anomaly_posterior.mu)[m, :, j], [0.05, 0.95]))
    if facts.has_kernels:
        low, high = np.quantile(drawn[:, j], [0.01, 0.99])
        room = FAR * (high - low)
        values = [np.clip(one, low - room, high + room) for one in values]
    return Axis.over(*values)


def spectrum(facts: Facts) -> Figure:
    """Bars of the KL of each latent dimension in descending order; colour shows which are active."""
    kl, active = kl_by_latent(facts.posterior).ravel(), facts.active.ravel()
    order = np.argsort(-kl)[:MOST_BARS]
    chart = Chart(Axis(-0.6, len(order) - 0.4), Axis(0, max(float(kl.max()), 1e-9) * 1.05), "", "nats per row")
    at = np.arange(len(order))
    for css, mask in (("f1", active[order]), ("f5", ~active[order])):
        if mask.any():
            chart.bars(at[mask], kl[order][mask], 0.4, css)
    latent_dim = facts.manifest.latent_dim
    names = [str(j % latent_dim) if len(kl) == latent_dim else f"{j // latent_dim}:{j % latent_dim}" for j in order]
    chart.names(names if len(names) <= 24 else [n if i % 4 == 0 else "" for i, n in enumerate(names)])
    by = "member:dimension" if len(kl) > latent_dim else "dimension"
    more = f" The {MOST_BARS} largest of {len(kl)}." if len(kl) > MOST_BARS else ""
    return Figure(
        "KL spectrum",
        chart.svg("KL of each latent dimension, largest first"),
        (("f1", "active"), ("f5", "not active")),
        f"KL(q(z_j|x) || N(0, 1)) by {by}, mean over test rows.{more}",
    )


def traversals(facts: Facts) -> list[Figure]:
    """The effect of each active dimension on E[x|z]: rows of images, or a chart of the columns' means."""
    if not facts.traversals:
        return []
    if not facts.is_image:
        return [columns(facts, one) for one in facts.traversals]
    one = facts.traversals[0]
    most = max(1, 2 * image_sheets.PIXELS // (len(one.means) * one.means.shape[1] * one.means.shape[2]))
    shown = facts.traversals[:most]
    means = np.concatenate([traversal.means for traversal in shown])
    alt = f"decoded means along {plural(len(shown), 'latent dimension')}, one per line"
    body = image_sheets.embedded(means, len(one.latents), alt)
    which = ", ".join(str(traversal.dimension) for traversal in shown)
    caption = (
        f"E[x|z]: one dimension goes from the 1 % to the 99 % quantile of the prior, the others are at their median. "
        f"Lines from top to bottom: dimensions {which}{_member(facts)}."
    )
    return [Figure("Traversals", body, caption=caption)]


def _member(facts: Facts) -> str:
    return ", of member 0" if facts.manifest.members > 1 else ""


def columns(facts: Facts, traversal: Traversal) -> Figure:
    """Chart of the change of E[x_d|z] along one dimension, in standard deviations of the test rows."""
    spec = facts.manifest.input
    assert isinstance(spec, VectorSpec)
    numeric = [d for d, column in enumerate(spec.columns) if column.levels is None and column.constant is None]
    std = np.nanstd(np.asarray(facts.test[:, numeric], dtype=np.float64), axis=0)
    middle = traversal.means[len(traversal.means) // 2]
    change = (traversal.means - middle)[:, numeric] / np.where(std > 0, std, 1.0)  # (S, D')
    order = np.argsort(-np.abs(change).max(axis=0, initial=0.0))
    chart = Chart(
        Axis.over(traversal.latents, margin=0.0), Axis.over(change, 0.0), f"z, dimension {traversal.dimension}"
    )
    chart.height, chart.left = 190, 40
    for d in order[NAMED:][:OTHERS]:
        chart.line(traversal.latents, change[:, d], "s5 thin faint")
    keys = []
    for css, d in zip(STYLES, order[:NAMED], strict=False):
        chart.line(traversal.latents, change[:, d], css)
        keys.append((f"line {css}", spec.columns[numeric[d]].name))
    title = f"Traversal of dimension {traversal.dimension}{_member(facts)}"
    body: Markup = chart.svg(f"change of the columns' means along latent dimension {traversal.dimension}")
    return Figure(title, body, tuple(keys), "E[x_d|z], change in standard deviations.", kind="small")
