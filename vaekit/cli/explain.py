"""`vae explain`: shows why rows of a file are anomalous."""

from __future__ import annotations

import re
import shlex
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from vaekit.cli.csv_options import Decimal, Delimiter, Thousands, dialect_of, same_csv
from vaekit.cli.explain_report import show, show_meaning
from vaekit.cli.options import (
    AsJson,
    Device,
    ModelName,
    Models,
    Quiet,
    RowsPath,
    beside,
    make_folder,
    naming,
)
from vaekit.cli.output import print_json, say, suggest
from vaekit.cli.panels import EXPLANATION, INPUT, OUTPUT, examples
from vaekit.errors import InputError

if TYPE_CHECKING:
    from vaekit.scoring import RowChoice, RowExplained

TOP = 3  # rows, if none are chosen
CELLS, CELLS_OF_MANY = 8, 3  # cells of a row, and of each of several rows
EXAMPLES = examples(
    "vae explain breast-cancer examples/rows.csv --top 10 --where 'sample != malignant-0' --out explained",
    "vae explain digits examples/digit.png --out digit-explained.png",
)
Row = Annotated[
    int | None,
    typer.Option(
        min=0, help="number of the only row to explain, counted from 0; default: see --top", rich_help_panel=INPUT
    ),
]
Rows = Annotated[
    str | None,
    typer.Option(
        metavar="N,N-N",
        help="numbers of rows to explain, such as 3,17 or 3-7; default: see --top",
        rich_help_panel=INPUT,
    ),
]
Where = Annotated[
    str | None,
    typer.Option(
        metavar="CONDITION",
        help="condition of the rows to explain: COLUMN == VALUE, or with != < <= > >=; '' is an empty cell; default: "
        "see --top",
        rich_help_panel=INPUT,
    ),
]
Top = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="number of most anomalous rows to explain, of the file or of those of --where; default: 3, or all rows of "
        "--rows and --where",
        rich_help_panel=INPUT,
    ),
]
Cells = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="largest number of cells to show per row, the most anomalous first; default: 8 of one row, 3 of several",
        rich_help_panel=EXPLANATION,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        help=".png file for a figure of one row, or folder for row-N.png of each (images: row-N-NAME.png): cells "
        "beside their expected values, or the heatmap of an image; default: no figure",
        rich_help_panel=OUTPUT,
    ),
]


def explain(
    model: ModelName,
    data: RowsPath,
    top: Top = None,
    row: Row = None,
    rows: Rows = None,
    where: Where = None,
    cells: Cells = None,
    out: Out = None,
    models: Models = Path("models"),
    as_json: AsJson = False,
    delimiter: Delimiter = None,
    decimal: Decimal = None,
    thousands: Thousands = None,
    device: Device = "auto",
    _quiet: Quiet = False,
) -> None:
    """Show the most anomalous cells of rows and the values expected there."""
    from vaekit.runtime import Model
    from vaekit.scoring import explain_rows, locate

    if row is not None and (top, rows, where) != (None, None, None):
        raise InputError(_beside_row(top))
    choice = _choice(top, row, rows, where)
    many = row is None and choice.top != 1 and not _is_image(data)
    if out is not None and many and out.suffix == ".png":
        raise InputError(f"--out {out}: several rows are drawn into a folder; name one, without an ending")
    if out is not None and out.suffix not in ("", ".png"):
        raise InputError(f"--out {out}: expected a .png file, or for several rows a folder, a name without an ending")
    if out is not None and not out.suffix:
        make_folder(out)
    folder = locate(model, models)
    csv = dialect_of(folder, delimiter, decimal, thousands)
    with Model.load(folder, device=device) as loaded:
        most = cells or (CELLS_OF_MANY if many else CELLS)
        with naming(data, csv=csv):
            found = explain_rows(loaded, data, choice, cells=most, say=say, csv=csv)
    if out is not None:
        _draw(found, out)
    if as_json:
        trees = [one.tree() for one in found]
        print_json(trees[0] if row is not None else {"model": found[0].model, "data": data.name, "rows": trees})
        return
    console = Console(highlight=False)
    for one in found:
        show(console, one)
    show_meaning(console, found)
    if found[0].similar is None and found[0].may_show_similar:
        more = "to see the most similar training rows too: vae train with --set privacy.show_exemplars=true"
        console.print(more, soft_wrap=True)
    if out is None:
        written = same_csv(delimiter, decimal, thousands)
        suggest(
            f"vae explain {shlex.join([model, str(data)])} --top {len(found)} --out explained{written}{beside(models)}"
        )
    else:
        suggest(f"vae serve{beside(models)}")


def _beside_row(top: int | None) -> str:
    if top is None:
        return "--row: names the only row to explain; leave out --rows and --where, or use --rows for several"
    return (
        f"--top {top}: the number of rows to explain, which --row names already; --cells {top} sets the number of cells"
    )


def _choice(top: int | None, row: int | None, rows: str | None, where: str | None) -> RowChoice:
    from vaekit.scoring import RowChoice
    from vaekit.scoring.evaluation.row_filter import Condition

    if row is not None:
        return RowChoice((row,))
    condition = None if where is None else Condition.of(where)
    return RowChoice(
        None if rows is None else _numbers(rows), condition, top or (TOP if rows is None and where is None else None)
    )


def _is_image(data: Path) -> bool:
    """Whether the file is one image, and so one row."""
    from vaekit.scoring.files.image_folder import is_image_file
    from vaekit.storage.paths import storage_path

    path = storage_path(data)
    return is_image_file(path) and not path.is_folder


def _numbers(text: str) -> tuple[int, ...]:
    """The numbers of rows that --rows lists."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise InputError(f"--rows {text}: expected numbers of rows, counted from 0, such as 3,17 or 3-7")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)


def _file_of(found: RowExplained) -> str:
    """The name of a row's figure, with that of an image file in safe characters."""
    name = "" if found.image is None or found.id is None else PurePosixPath(found.id).stem
    safe = re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")
    return f"row-{found.row}{safe and f'-{safe}'}.png"


def _draw(found: list[RowExplained], out: Path) -> None:
    from vaekit.scoring.evaluation.explain_plots import draw

    paths = [out] if out.suffix == ".png" else [out / _file_of(one) for one in found]
    for one, path in zip(found, paths, strict=True):
        draw(one, path)
    say(f"written to {', '.join(map(str, paths))}")
