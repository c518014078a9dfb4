"""Shows what a proposed version changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from vaekit.cli import output

if TYPE_CHECKING:
    from vaekit.bundle.manifest import Manifest
    from vaekit.bundle.proposal import AlphaComparison, Proposal

HEADINGS = (
    "alpha", "threshold before", "threshold after", "new rows flagged before", "rate before", "95 % interval",
)  # fmt: skip


def show(proposal: Proposal, model: str) -> None:
    """Print the comparison of a proposed version with the version that it came from."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 160
    for each in proposal.comparisons:
        table = Table(
            title=f"{model} beside {proposal.parent}, K = {each.num_samples}, {each.precision}: "
            f"{each.n_before:,} calibration rows before, {each.n_after:,} after",
            title_justify="left",
        )
        for heading in HEADINGS:
            table.add_column(heading, justify="right", no_wrap=True)
        for line in each.alphas:
            table.add_row(*_cells(line, each.n_after))
        console.print(table)


def warn(proposal: Proposal) -> None:
    """Print what may be wrong with the new calibration rows, on stderr."""
    for warning in proposal.warnings:
        output.warn(warning)


def waiting(manifest: Manifest) -> str:
    """What a proposed version changes, which is nothing, and how to accept it."""
    name = f"{manifest.name}@{manifest.version}"
    return (
        f"{name} is proposed: it is only used where it is named; vae models accept {name} makes it an ordinary version"
    )


def _cells(line: AlphaComparison, n: int) -> tuple[str, ...]:
    rate, interval = "-", "-"
    if line.flagged is not None:
        rate, interval = f"{line.flagged / n:.3g}", f"{line.rate_low:.3g} .. {line.rate_high:.3g}"
    flagged = "-" if line.flagged is None else f"{line.flagged:,}"
    return f"{line.alpha:g}", _score(line.before), _score(line.after), flagged, rate, interval


def _score(threshold: float | None) -> str:
    return "none" if threshold is None else f"{threshold:.6g}"
