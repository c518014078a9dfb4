"""Charts of the latent space: map, KL spectrum, traversals."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from vaekit.bundle.input_spec import VectorSpec
from vaekit_training.evaluate import ACTIVE
from vaekit_training.report import pictures
from vaekit_training.report.facts import Facts, Traversal, by_member, kl_by_latent, spread
from vaekit_training.report.parts import Figure, Section, several
from vaekit_training.report.svg import Axis, Chart

MOST_POINTS = 600  # per kind of point in a map
MOST_MEMBERS = 4  # that get a map each
MOST_BARS = 64
NAMED, OTHERS = 5, 15  # columns of a traversal: highlighted, and shown in grey
STYLES = ("s1", "s2", "s3", "s4 dash", "s1 dash")


def section(facts: Facts) -> Section:
    """Which latent dimensions are active, and what each does."""
    of_all = "" if facts.active.size == facts.manifest.latent_dim else " of all members together"
    text = [
        f"{int(facts.active.sum())} of {facts.active.size} latent dimensions{of_all} are active: their posterior mean "
        f"varies over test rows, Var[mu_j] > {ACTIVE:g}."
    ]
    if not facts.active.all():
        text.append("The others carry no information about x: their posterior is close to the prior.")
    if facts.manifest.prior.name == "aggregate":
        text.append("The prior is the mean of posteriors of training rows; the KL by dimension is against N(0, 1).")
    figures = [*maps(facts), spectrum(facts), *traversals(facts)]
    return Section("latent", "Latent space", tuple(text), tuple(figures))


def maps(facts: Facts) -> list[Figure]:
    """Posterior means in the two dimensions with the largest variance, for each of the first members."""
    mu, variance = by_member(facts.posterior.mu), spread(facts.posterior)
    odd = None if facts.odd is None else by_member(facts.odd.mu)
    figures = []
    for m in range(min(len(mu), MOST_MEMBERS)):
        of = f", member {m}" if len(mu) > 1 else ""
        order = np.argsort(-variance[m])
        a, b = int(order[0]), int(order[min(1, len(order) - 1)])
        drawn = facts.draws.latents
        if facts.draws.members is not None:
            drawn = drawn[facts.draws.members == m]
        x, y = (_range(facts, m, j, drawn) for j in (a, b))
        chart = Chart(x, y, f"mu, dimension {a}", f"mu, dimension {b}", height=300)
        chart.points(drawn[:MOST_POINTS, a], drawn[:MOST_POINTS, b], "s5 faint")
        keys = [("dot s5", "latents drawn from the prior"), ("dot s1", "normal test rows")]
        chart.points(mu[m, :MOST_POINTS, a], mu[m, :MOST_POINTS, b], "s1")
        if odd is not None:
            chart.points(odd[m, :MOST_POINTS, a], odd[m, :MOST_POINTS, b], "s2 small")
            keys.append(("dot s2", "anomalies"))
        alt = f"posterior means of test rows in dimensions {a} and {b}{of}"
        figures.append(Figure(f"Latent map{of}", chart.svg(alt), tuple(keys), "Points outside are drawn on the frame."))
    return figures


def _range(facts: Facts, m: int, j: int, drawn: NDArray[np.floating]) -> Axis:
    """The range of all test rows and draws, and of most anomalies: a few may be very far out."""
    values = [by_member(facts.posterior.mu)[m, :, j], drawn[:, j]]
    if facts.odd is not None:
        values.append(np.quantile(by_member(facts.odd.mu)[m, :, j], [0.05, 0.95]))
    return Axis.over(*values)


def spectrum(facts: Facts) -> Figure:
    """KL by latent dimension in descending order, with active ones in colour."""
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
    """The effect of each active dimension: images, or lines of the columns' means."""
    if not facts.traversals:
        return []
    if not facts.is_image:
        return [columns(facts, one) for one in facts.traversals]
    one = facts.traversals[0]
    most = max(1, 2 * pictures.PIXELS // (len(one.means) * one.means.shape[1] * one.means.shape[2]))
    shown = facts.traversals[:most]
    means = np.concatenate([traversal.means for traversal in shown])
    alt = f"decoded means along {several(len(shown), 'latent dimension')}, one per line"
    body = pictures.embedded(means, len(one.codes), alt)
    which = ", ".join(str(traversal.dimension) for traversal in shown)
    caption = (
        f"E[x|z], from the 1 % to the 99 % quantile of the prior in one dimension, the others at their median. Lines "
        f"from top to bottom: dimensions {which}{_member(facts)}."
    )
    return [Figure("Traversals", body, caption=caption)]


def _member(facts: Facts) -> str:
    return ", of member 0" if facts.manifest.members > 1 else ""


def columns(facts: Facts, traversal: Traversal) -> Figure:
    """Change of the columns' means along one dimension, in standard deviations of test rows."""
    spec = facts.manifest.input
    assert isinstance(spec, VectorSpec)
    numeric = [d for d, column in enumerate(spec.columns) if column.levels is None and column.constant is None]
    std = np.nanstd(np.asarray(facts.test[:, numeric], dtype=np.float64), axis=0)
    middle = traversal.means[len(traversal.means) // 2]
    change = (traversal.means - middle)[:, numeric] / np.where(std > 0, std, 1.0)  # (S, D')
    order = np.argsort(-np.abs(change).max(axis=0, initial=0.0))
    chart = Chart(Axis.over(traversal.codes, margin=0.0), Axis.over(change, 0.0), f"z, dimension {traversal.dimension}")
    chart.height, chart.left = 190, 40
    for d in order[NAMED:][:OTHERS]:
        chart.line(traversal.codes, change[:, d], "s5 thin faint")
    keys = []
    for css, d in zip(STYLES, order[:NAMED], strict=False):
        chart.line(traversal.codes, change[:, d], css)
        keys.append((f"line {css}", spec.columns[numeric[d]].name))
    title = f"Traversal of dimension {traversal.dimension}{_member(facts)}"
    body: Markup = chart.svg(f"change of the columns' means along latent dimension {traversal.dimension}")
    return Figure(title, body, tuple(keys), "E[x_d|z], change in standard deviations.", kind="small")
