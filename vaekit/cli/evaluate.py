"""`vae evaluate`: measures a model on the rows of a file."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vaekit.cli.csv_options import Decimal, Delimiter, Thousands, dialect_of, same_csv
from vaekit.cli.options import (
    Anomaly,
    AsJson,
    BatchRows,
    Device,
    LabelFolder,
    ModelName,
    Models,
    Quiet,
    RowsPath,
    beside,
    label_of,
    make_folder,
    naming,
)
from vaekit.cli.output import is_quiet, say, suggest
from vaekit.cli.panels import LABELS, OUTPUT, SCORING, examples

if TYPE_CHECKING:
    from vaekit.bundle.manifest import Metric
    from vaekit.scoring import Evaluation

EXAMPLES = examples(
    "vae evaluate breast-cancer examples/rows.csv -k 1 -k 100",
    "vae evaluate breast-cancer examples/rows.csv -k 10 --out evaluation",
)


def evaluate(
    model: ModelName,
    data: RowsPath,
    models: Models = Path("models"),
    num_samples: Annotated[
        list[int] | None,
        typer.Option(
            "--num-samples",
            "-k",
            help="number K of draws per row for log_evidence; repeatable; default: 1, 10, 100, 1000, 5000",
            rich_help_panel=SCORING,
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            help="column that marks anomalies, or .npy file with one label per row; default: no labels",
            rich_help_panel=LABELS,
        ),
    ] = None,
    label_folder: LabelFolder = False,
    anomaly: Anomaly = None,
    alpha: Annotated[
        float,
        typer.Option(
            help="false-alarm rate at which alarms on labelled rows are counted, a share of normal rows",
            rich_help_panel=LABELS,
        ),
    ] = 0.05,
    seed: Annotated[
        int, typer.Option(min=0, help="seed of the draws, which are independent between rows", rich_help_panel=SCORING)
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="folder for evaluation.json, evidence.png and scores.png; default: no files", rich_help_panel=OUTPUT
        ),
    ] = None,
    as_json: AsJson = False,
    delimiter: Delimiter = None,
    decimal: Decimal = None,
    thousands: Thousands = None,
    device: Device = "auto",
    batch_rows: BatchRows = None,
    _quiet: Quiet = False,
) -> None:
    """Measure the ELBO, the log evidence and, with labels, the AUROC and the alarms of a model."""
    from vaekit.cli.progress import bar
    from vaekit.errors import InputError
    from vaekit.runtime import Model
    from vaekit.scoring import COUNTS, evaluate_file, locate

    label = label_of(label, label_folder)
    if anomaly and label is None:
        raise InputError("--anomaly: needs --label, the column or .npy file with the labels, or --label-folder")
    if out is not None:
        make_folder(out)
    folder = locate(model, models)
    csv = dialect_of(folder, delimiter, decimal, thousands)
    with Model.load(folder, device=device) as loaded, naming(data, csv=csv), bar("evaluating") as progress:
        found = evaluate_file(
            loaded, data, num_samples=num_samples or COUNTS, seed=seed, label=label, anomalies=anomaly or ["1"],
            alpha=alpha, batch_rows=batch_rows, progress=progress, say=say, csv=csv,
        )  # fmt: skip
    text = json.dumps(found.tree(), indent=2)
    if out is not None:
        _write(out, text, found)
    if as_json:
        typer.echo(text)
    else:
        _show(Console(highlight=False), found)
    suggest(
        f"vae explain {shlex.join([model, str(data)])} --top 3{same_csv(delimiter, decimal, thousands)}{beside(models)}"
    )


def _write(folder: Path, text: str, found: Evaluation) -> None:
    from vaekit.scoring.evaluation.plots import draw
    from vaekit.scoring.files.writer import replacing

    path = folder / "evaluation.json"
    with replacing(path) as temp:
        temp.write_text(text + "\n", encoding="utf-8")
    console = Console(stderr=True, soft_wrap=True, highlight=False, quiet=is_quiet())
    try:
        figures = draw(found, folder)
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.split(".")[0] != "matplotlib":
            raise
        figures = []
        console.print("[yellow]no figures: matplotlib is not installed: pip install 'vaekit\\[scoring]'[/]")
    console.print(f"written: {escape(', '.join(map(str, [path, *figures])))}")


def _show(console: Console, found: Evaluation) -> None:
    if "score" in found.detection:
        auroc = found.detection["score"]["auroc"].value
        console.print(f"AUROC {auroc:.3f} of the score, novel rows first (1: every anomaly above every normal row)")
    if found.alarms is not None:
        console.print(escape(found.alarms.sentence()), soft_wrap=True)
    for group, figures in {**found.detection, **found.figures}.items():
        ranks = group in found.detection
        heading = f"anomalies ranked by {group}" if ranks else f"{_row_count(found, group)}, mean over rows"
        table = Table(title=f"{found.model} on {escape(found.data)}: {heading}", title_justify="left")
        for column in ("figure", "value", "standard error"):
            table.add_column(column, justify="left" if column == "figure" else "right", no_wrap=True)
        table.add_column("unit")
        for name, metric in figures.items():
            table.add_row(name, *_cells(metric))
        console.print(table)


def _row_count(found: Evaluation, group: str) -> str:
    return f"{len(found.groups[group]):,} {'normal rows' if group == 'normal' else group}"


def _cells(metric: Metric) -> tuple[str, str, str]:
    error = metric.standard_error
    return f"{metric.value:.6g}", "-" if error is None else f"{error:.2g}", metric.unit or ""
