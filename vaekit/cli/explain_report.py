"""The tables of `vae explain`: the cells of a row, the values expected there, and similar training rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from vaekit.scoring import RowExplained

WIDE = 120  # characters per line of a table if stdout is a file or a pipe
NARROW = 100  # characters per line below which a table has no frame and no column `excess`

HEADINGS = ("feature", "value", "expected", "90 % interval", "relief")


def show(console: Console, found: RowExplained) -> None:
    """Print the table of one row."""
    from vaekit.tabular.explained_cells import odd_cells
    from vaekit.tabular.row_names import of_id

    if not console.is_terminal:
        console.width = WIDE
    p_value = "no p-value" if found.p_value is None else f"p-value {found.p_value:.3g}"
    p_value += "" if found.group is None else f" among {found.group}"
    row = f"row {found.row}{of_id(found.id_column, found.id)}"
    title = f"{found.model}: {row} of {found.data}: score {found.score_text} nats, {p_value}"
    console.print(escape(title), style="italic")
    if found.missing:
        said = f"missing: {', '.join(found.missing)}; no training row lacks as many cells, so the row is novel"
        console.print(escape(said), soft_wrap=True)
    odd = odd_cells(found.cells)
    if odd:
        console.print(_table(found, odd, is_narrow=console.width < NARROW))
    if said := remark(len(odd), len(found.cells)):
        console.print(said, soft_wrap=True)
    if not found.kl_is_score:
        console.print(f"kl {found.kl:.3g} nats, p-value {found.kl_p_value:.3g} among held-out rows")
    if found.similar is not None:
        console.print(_similar(found.similar, [cell["feature"] for cell in odd or found.cells]))


def show_meaning(console: Console, found: list[RowExplained]) -> None:
    """Say once, below all tables, what the numbers of a pixel and two equal columns mean."""
    from vaekit.tabular.explained_cells import odd_cells

    if found[0].image is not None and any(odd_cells(one.cells) for one in found):
        channel = "" if found[0].image.given.shape[-1] == 1 else ", channel"
        console.print(f"pixel (row, column{channel}), counted from 0 at the top left", soft_wrap=True)
    if found[0].kl_is_score and console.width >= NARROW and any(odd_cells(one.cells) for one in found):
        said = "relief and excess are equal for this model, because it predicts each cell from the others"
        console.print(said, soft_wrap=True)


def remark(odd: int, explained: int) -> str:
    """What the cells that are not in the table are: `odd` of the `explained` ones are in it."""
    from vaekit.tabular.explained_cells import NONE_IS_ODD

    if not odd:
        return f"{NONE_IS_ODD}: the {explained} cells explained are as expected (--json lists them)"
    rest = explained - odd
    return f"{rest} more {'cell' if rest == 1 else 'cells'} explained: as expected (--json lists them)" if rest else ""


def _table(found: RowExplained, cells: list[Mapping[str, Any]], *, is_narrow: bool) -> Table:
    table = Table(box=box.SIMPLE if is_narrow else box.HEAVY_HEAD, padding=(0, 1 - is_narrow), show_edge=not is_narrow)
    for column in (*HEADINGS, *(() if is_narrow else ("excess",)), "p-value"):
        table.add_column(column, justify="left" if column == "feature" else "right", no_wrap=column != "feature")
    for cell in cells:
        known = _cells(cell, found.shown(cell))
        table.add_row(*(escape(text) for text in (known[:5] + known[6:] if is_narrow else known)))
    return table


def _similar(rows: list[dict[str, Any]], features: list[str]) -> Table:
    """The most similar training rows, with their values in the columns of the explained cells."""
    table = Table(title="most similar training rows, by the probability of their kernels", title_justify="left")
    for column in ("row", "weight", *features):
        table.add_column(escape(column), justify="right")
    for one in rows:
        values = [one["values"][feature] for feature in features]
        shown = ["" if value is None else escape(_short(value)) for value in values]
        table.add_row(str(one["row"]), f"{one['weight']:.1%}", *shown)
    return table


def _cells(cell: Mapping[str, Any], value: float | str | None) -> list[str]:
    interval = f"{cell['low']:.4g} .. {cell['high']:.4g}" if cell["low"] is not None else f"{cell['probability']:.0%}"
    known = [cell["feature"], _short(value), _short(cell["expected"]), interval]
    return [*known, f"{cell['relief']:.3g}", f"{cell['excess']:.3g}", f"{cell['p_value']:.3g}"]


def _short(value: float | str | None) -> str:
    if value is None:
        return "unseen level"
    return value if isinstance(value, str) else f"{value:.4g}"
