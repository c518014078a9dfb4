"""What `vae score` prints and writes about a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vaekit.cli.output import confirm

if TYPE_CHECKING:
    from vaekit.bundle.drift import Drift
    from vaekit.scoring import Summary
    from vaekit.scoring.batch.summary import DiscoveryCount

DRIFT_ROWS = 20  # rows below which nothing is printed about drift
SHOWN_GROUPS = 20  # calibration groups with a line of their own


def check_summary(summary: Path | None) -> None:
    """Refuse a summary that cannot be written, before the rows are scored."""
    from vaekit.errors import InputError

    if summary is None:
        return
    if summary.suffix != ".json":
        raise InputError(f"--summary: {summary}, expected a name that ends in .json")
    if not summary.absolute().parent.is_dir():
        raise InputError(f"--summary: {summary}: folder {summary.parent} does not exist")


def write_summary(scored: Summary, path: Path) -> None:
    """Write the summary as JSON and as a figure of the same name."""
    from vaekit.scoring.batch.summary_plot import draw
    from vaekit.storage.paths import storage_path

    scored.write(storage_path(path))
    confirm(f"summary: {path}, {draw(scored, path.with_suffix('.png'))}")


def report(summary: Summary) -> None:
    from vaekit.tabular.columns import listed

    typer.echo(
        f"{summary.rows:,} rows in {summary.seconds:.1f} s ({summary.rows_per_second:,.0f} rows/s) by {summary.model}"
    )
    for remark in summary.remarks:
        typer.echo(remark)
    if summary.before.parts:
        typer.echo(f"parts kept from an earlier run: {summary.before.parts:,} ({summary.before.rows:,} rows)")
    if summary.quarantined:
        typer.echo(f"invalid rows in quarantine: {summary.quarantined:,} ({_most_frequent(summary)})")
    if summary.tally.without_window:
        typer.echo(f"{summary.tally.without_window:,} time steps have no score: no window ends there")
    if summary.reason is not None:
        typer.echo(f"no p-values: {summary.reason}")
    elif summary.share is not None:
        typer.echo(f"{summary.anomalies:,} anomalies ({summary.share:.2%}) at alpha = {summary.alpha:g}")
    if summary.tally.tolerated:
        by_rule = ", ".join(f"{column} {count:,}" for column, count in summary.tally.rules.most_common())
        typer.echo(f"{summary.tally.tolerated:,} alarms removed by tolerance rules, by column: {by_rule}")
    _report_groups(summary)
    if summary.novel:
        typer.echo(
            f"{summary.novel:,} rows are novel, with a level unseen in training, a number outside its column's kind, "
            "or more missing cells than any training row; column `novel` names the cells"
        )
    if summary.tally.unscored:
        typer.echo(
            f"{summary.tally.unscored:,} of them have no ELBO, because the model was published before format 1.3: "
            "train it again to score them"
        )
    if summary.alpha_reason is not None:
        typer.echo(summary.alpha_reason)
    if (found := summary.discoveries) is not None:
        typer.echo(_of_discoveries(summary, found))
    if (above := summary.above_all) is not None and above.is_many:
        typer.echo(above.sentence())
    if (drift := summary.drift) is not None and summary.rows >= DRIFT_ROWS:
        absent = f"; the input lacks {listed(summary.absent)}, of which every cell is missing" if summary.absent else ""
        typer.echo(f"{_of_drift(drift)}{absent}")
    if summary.ignored:
        typer.echo(f"columns that the model does not have, and that only pass through: {listed(summary.ignored)}")
    if summary.renamed:
        pairs = ", ".join(f"{name} as {written}" for name, written in summary.renamed.items())
        typer.echo(f"the input has columns with names that scoring appends; appended: {pairs}")
    typer.echo(f"written to {summary.output}")


def _of_discoveries(summary: Summary, found: DiscoveryCount) -> str:
    """How many discoveries there are and up to which p-value; without any, why."""
    from vaekit.bundle.discoveries import why_none

    if found.count:
        return f"{found.count:,} discoveries (p <= {found.cut:.3g}) at a false-discovery rate of {found.q:g}"
    said, held_out, rows = (
        f"0 discoveries at a false-discovery rate of {found.q:g}",
        summary.held_out,
        summary.tally.judged,
    )
    if held_out is None or summary.tally.groups or not rows:
        return said
    return f"{said}: {why_none(rows, len(held_out), found.q)}"


def _of_drift(drift: Drift) -> str:
    """The reading of a drift, the distance that decides it, and what the size is judged by."""
    reading = drift.reading.removeprefix("drift: ")
    far = (
        f"Kolmogorov-Smirnov distance from the held-out scores {drift.ks:.3f}; chance explains up to "
        f"{drift.ks_by_chance:.3f}"
    )
    size = f"; size by the population stability index, {drift.psi:.3f}" if drift.ks > drift.ks_by_chance else ""
    return f"drift: {reading} ({far}{size})"


def _report_groups(summary: Summary) -> None:
    """One line per calibration group, the groups with the most rows first."""
    found = summary.groups or []
    for one in found[:SHOWN_GROUPS]:
        expected = f"at most {one['expected']:,.1f} expected by chance"
        if one["pooled"]:
            chance = f"{one['expected']:,.1f} expected if they are like other rows"
            expected = f"{chance}; pooled: too few calibration rows of their own"
        typer.echo(f"compared with {one['group']}: {one['rows']:,} rows, {one['anomalies']:,} anomalies, {expected}")
    if len(found) > SHOWN_GROUPS:
        typer.echo(f"and {len(found) - SHOWN_GROUPS} more groups, which --summary lists")


def _most_frequent(summary: Summary) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in summary.tally.bad.most_common(5))
