"""The section on a kernel prior: its kernels, and the search that chose them.

K clusters, M exemplars, Z columns that vary; nats; model units, in which columns are standardised.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from vaekit.bundle.input_spec import VectorSpec
from vaekit.losses import sentence_of
from vaekit_training.folds import AnyVAE, FoldModels
from vaekit_training.kernel_fit import rows_searched
from vaekit_training.kernel_vae import KernelVAE
from vaekit_training.kernels.mixture import MOST_FULL
from vaekit_training.kernels.prior import KernelPrior
from vaekit_training.kernels.search import FEWEST, FOLDS, HELD_OUT, KEEPS, MANY, WIDTHS
from vaekit_training.kernels.trials import Trial
from vaekit_training.report.facts import Facts
from vaekit_training.report.parts import Figure, ReportTable, Section, number, plural
from vaekit_training.report.rows import MOST_COLUMNS, horizontal_bars
from vaekit_training.report.svg import Axis, Chart

Floats = NDArray[np.float64]

STYLES = ("s1", "s2", "s3", "s4", "s1 dash", "s2 dash")
POINTS = 88  # of a line
ROOM = 0.3  # below the lowest top of a line, as a share of the range of tops
LISTED = 3  # columns whose scales the table lists


def models(vae: AnyVAE) -> list[KernelVAE]:
    """The VAE, or its fold models."""
    each = vae.each if isinstance(vae, FoldModels) else [vae]
    return [one for one in each if isinstance(one, KernelVAE)]


def section(facts: Facts) -> Section:
    """The section on the kernels. Of fold models it shows the first one."""
    each = models(facts.run.vae)
    first = each[0]
    text = [sentence_of(facts.manifest), summary(facts), *explained(first.prior)]
    if len(each) > 1:
        text.append(
            f"The model is the mean of {len(each)} fold models. The charts and the first table are of fold model 1."
        )
    figures = [search(first.prior)] if first.prior.trials else []
    if first.prior.numbers is not None:
        figures += [search_by_nu(first.prior)] if first.prior.trials else []
        figures.append(widths(facts, first))
    return Section("kernels", "Kernels", tuple(text), tuple(figures), tables(facts))


def summary(facts: Facts) -> str:
    """How the kernels were chosen, and the ELBO of the validation rows, as text."""
    run, best = facts.run, facts.run.history.best
    prior = models(run.vae)[0].prior
    rows = len(run.splits.trains[0])
    if prior.trials:
        names = list(settings(prior))
        chosen = f"{', '.join(names[:-1])} and {names[-1]}"
        n = min(rows, rows_searched(run.config.prior.components, prior.level_count))
        split = f"each of {FOLDS} parts in turn" if n < MANY else f"{min(HELD_OUT, n // 6):,} rows, once"
        how = (
            f"{chosen} were chosen among {len(prior.trials)} combinations, by the log density of training rows that "
            f"were left out: {split}."
        )
    else:
        how = (
            f"With fewer than {FEWEST} training rows none can be left out to choose the kernels: they are one cluster "
            "of normal kernels, nearly a single normal density."
        )
    return (
        f"{how} Means over {plural(len(run.splits.validation), 'validation row')}, which choose nothing: ELBO "
        f"{number(best.elbo, 6)}, log evidence {number(best.log_evidence, 6)}, KL {number(best.kl, 4)} nats."
    )


def settings(prior: KernelPrior) -> dict[str, str]:
    """The settings of the kernels that this prior uses, by name: h and nu of numbers, a of levels."""
    of_numbers = {} if prior.numbers is None else {"h": number(prior.h), "nu": _nu(prior.nu)}
    of_levels = {} if prior.levels is None else {"a": number(prior.keep)}
    return {"K": str(prior.clusters), **of_numbers, **of_levels}


def explained(prior: KernelPrior) -> tuple[str, ...]:
    """What the prior, h, nu and a are, and the values of this one."""
    is_normal = math.isinf(prior.nu)
    shape = (
        " All kernels of a cluster have the same shape: the covariance of the cluster, times h^2, and no column has a "
        "scale of less than a small limit."
        if prior.numbers is not None
        else ""
    )
    of_numbers = (
        "h is the width of the kernels relative to their cluster. Near 0 the kernels are narrow, and the density "
        "follows single training rows. Near 1 every kernel is as wide as its cluster, and the density is nearly a "
        f"mixture of one smooth component for each cluster. Here h = {number(prior.h)}."
        + (
            " That is the smallest value tried, as in data with many near copies of rows."
            if prior.h <= WIDTHS[0]
            else ""
        ),
        "nu is the number of degrees of freedom of the kernels. The smaller nu is, the heavier are their tails, and "
        "the more slowly the score grows with the distance from the training rows. Without a limit (nu = infinity) the "
        f"kernels are normal densities. Here {'the kernels are normal' if is_normal else f'nu = {number(prior.nu)}'}.",
    )
    of_levels = (
        "In a column of levels, each kernel keeps the level of its training row with the probability a, and otherwise "
        "draws one by the shares of the levels in its cluster. Near 1 the density follows single training rows. At 0 "
        f"columns are independent within a cluster. Here a = {number(prior.keep)}.",
    )
    return (
        f"The prior p(z) is the mean of {prior.count:,} kernels, one for each of {prior.count:,} training rows. The "
        f"rows are in {plural(prior.clusters, 'cluster')}.{shape}",
        *(of_numbers if prior.numbers is not None else ()),
        *(of_levels if prior.levels is not None else ()),
    )


def tables(facts: Facts) -> tuple[ReportTable, ...]:
    """Table of the figures of the first model; with folds also one of the choices of each fold model."""
    each = models(facts.run.vae)
    first, rows = each[0], [len(train) for train in facts.run.splits.trains]
    prior, counts = first.prior, _rows_by_cluster(first.prior)
    sizes = f"; {int(counts.min()):,} to {int(counts.max()):,} training rows each" if len(counts) > 1 else ""
    lines = [
        ("training rows in the prior (M)", f"{prior.count:,} of {rows[0]:,}"),
        ("clusters (K)", f"{len(counts)}{sizes}"),
        *_of_numbers(prior),
        ("dimensions of z", f"{first.latent_dim}: the columns that vary"),
    ]
    if prior.levels is not None:
        lines.append(("level of the training row is kept (a)", number(prior.keep)))
    if prior.numbers is not None:
        scales, names = _scales(prior), _names(facts, first)
        narrow = ", ".join(f"{names[j]} {number(scales[j], 2)}" for j in np.argsort(scales)[:LISTED])
        lines += [
            ("narrowest kernels by column", f"{narrow} standard deviations"),
            ("narrowest direction", f"{number(_narrowest(prior), 2)} standard deviations"),
        ]
    if prior.trials:
        lines.append(("log density of rows left out", f"{number(_best(prior).log_density, 5)} nats per row, mean"))
    lines.append(("floating-point operations", f"about {facts.encoder.flops:,} per scored row"))
    caption = "Scales and log density are in standardised columns."
    found = [ReportTable(("what", "value"), tuple(lines), caption, words=(0, 1))]
    if len(each) > 1:
        found.append(
            ReportTable(
                ("fold model", "training rows", *settings(first.prior), "log density of rows left out"),
                tuple(_choice(f, one.prior, rows[f]) for f, one in enumerate(each)),
            )
        )
    return tuple(found)


def _of_numbers(prior: KernelPrior) -> list[tuple[str, str]]:
    """Lines of the table on the columns of numbers."""
    if prior.numbers is None:
        return []
    return [
        ("width of kernels (h)", number(prior.h)),
        ("degrees of freedom (nu)", _nu(prior.nu)),
        ("covariances", _shape(prior)),
    ]


def search(prior: KernelPrior) -> Figure:
    """Chart of the log density of rows left out by h, the best nu of each, one line for each number of clusters.

    Without columns of numbers it is by a.
    """
    by = _by_h if prior.numbers is not None else _by_keep
    lines = {
        plural(k, "cluster"): by([one for one in prior.trials if one.clusters == k])
        for k in sorted({one.clusters for one in prior.trials})
    }
    best = "With the best nu of each h and number of clusters." if prior.numbers is not None else ""
    return _chart(prior, "Search by number of clusters", lines, best)


def search_by_nu(prior: KernelPrior) -> Figure:
    """Chart of the log density of rows left out by h, one line for each nu, for the chosen number of clusters."""
    best = _best(prior)
    lines = {
        f"nu = {_nu(nu)}": _by_h([one for one in prior.trials if one.clusters == best.clusters and one.nu == nu])
        for nu in sorted({one.nu for one in prior.trials})
    }
    return _chart(prior, "Search by nu", lines, f"With {plural(best.clusters, 'cluster')}.")


def _chart(prior: KernelPrior, title: str, lines: dict[str, Floats], caption: str) -> Figure:
    best = _best(prior)
    low = _lowest(list(lines.values()))
    name, tried, own = ("h", WIDTHS, best.h) if prior.numbers is not None else ("a", KEEPS, best.keep)
    fine = np.linspace(tried[0], tried[-1], POINTS)
    chart = Chart(Axis(0, 1), Axis.over([low, best.log_density], margin=0.06), name, "nats per row")
    keys = []
    for css, (label, line) in zip(STYLES, lines.items(), strict=False):
        value = np.interp(fine, tried, line)
        chart.line(fine, np.where(value >= low, value, np.nan), css)
        keys.append((f"line {css}", label))
    chart.points([own], [best.log_density], "s6 large")
    nu = f", nu = {_nu(best.nu)}" if prior.numbers is not None else ""
    keys.append(("dot s6 large", f"chosen: {name} = {number(own)}{nu}, K = {best.clusters}"))
    alt = "largest log density of rows left out: "
    alt += "; ".join(
        f"{label} {number(float(line.max()))} at {name} = {tried[line.argmax()]}" for label, line in lines.items()
    )
    below = " Values below the frame are not shown." if any(line.min() < low for line in lines.values()) else ""
    return Figure(
        title,
        chart.svg(alt),
        tuple(keys),
        f"Mean log density of rows left out, higher is better. {caption}{below}",
    )


def widths(facts: Facts, vae: KernelVAE) -> Figure:
    """Chart of the scale of the kernels by column, the narrowest first."""
    scales, names = _scales(vae.prior), _names(facts, vae)
    order = np.argsort(scales)[:MOST_COLUMNS]
    more = f" The {MOST_COLUMNS} narrowest of {len(scales)}." if len(scales) > MOST_COLUMNS else ""
    return Figure(
        "Width of the kernels by column",
        horizontal_bars([names[j] for j in order], scales[order], None, "standard deviations of the column"),
        caption=f"Mean over training rows in the prior.{more} Repeated values and separate groups of values give "
        "narrow kernels.",
    )


def _lowest(lines: list[Floats]) -> float:
    """The lower end of a chart of these lines: below all their tops, unless some are below the whole best line."""
    tops = [float(line.max()) for line in lines]
    best = lines[int(np.argmax(tops))]
    wanted = min(tops) - ROOM * (max(tops) - min(tops))
    return float(np.clip(wanted, best.min(), np.median(best)))


def _by_h(trials: list[Trial]) -> Floats:
    """The largest log density for each h, in the order of WIDTHS."""
    return np.array([max(one.log_density for one in trials if one.h == h) for h in WIDTHS])


def _by_keep(trials: list[Trial]) -> Floats:
    """The log density for each a, in the order of KEEPS."""
    return np.array([max(one.log_density for one in trials if one.keep == keep) for keep in KEEPS])


def _best(prior: KernelPrior) -> Trial:
    return max(prior.trials, key=lambda one: one.log_density)


def _choice(f: int, prior: KernelPrior, rows: int) -> tuple[str, ...]:
    log_density = number(_best(prior).log_density, 5) if prior.trials else ""
    return str(f + 1), f"{rows:,}", *settings(prior).values(), log_density


def _nu(nu: float) -> str:
    return "infinity (normal)" if math.isinf(nu) else number(nu)


def _shape(prior: KernelPrior) -> str:
    if not prior.is_diagonal:
        return "full: kernels follow the correlations within their cluster"
    assert prior.numbers is not None
    why = f"there are more than {MOST_FULL} columns" if prior.numbers.dim > MOST_FULL else "most values are repeated"
    return f"diagonal, without correlations within a cluster, because {why}"


def _names(facts: Facts, vae: KernelVAE) -> list[str]:
    """Names of the columns of numbers in z."""
    spec = facts.manifest.input
    assert isinstance(spec, VectorSpec)
    return [spec.columns[d].name for d in vae.column.tolist() if not vae.is_level[d]]


def _rows_by_cluster(prior: KernelPrior) -> torch.Tensor:
    """Number of exemplars in each cluster, (K,)."""
    return torch.bincount(prior.cluster, minlength=prior.clusters)


def _scales(prior: KernelPrior) -> Floats:
    """The scale of the kernels in each column of numbers, mean over exemplars, (R,)."""
    assert prior.numbers is not None
    factor = prior.numbers.factor.double()
    of_cluster = factor.square().sum(2).sqrt() if factor.ndim == 3 else factor.abs()  # (K, R)
    share = _rows_by_cluster(prior).double() / prior.count
    return np.asarray((share @ of_cluster).numpy())


def _narrowest(prior: KernelPrior) -> float:
    """The smallest scale of any kernel in any direction."""
    assert prior.numbers is not None
    factor = prior.numbers.factor.double()
    return float(torch.linalg.svdvals(factor).min() if factor.ndim == 3 else factor.abs().min())
