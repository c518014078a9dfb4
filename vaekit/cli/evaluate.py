"""`vae evaluate`: figures of a model on the rows of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from vaekit.bundle.manifest import Metric
    from vaekit.scoring import Evaluation


def evaluate(
    model: Annotated[str, typer.Argument(help="name, name@version, or the path of a bundle")],
    data: Annotated[Path, typer.Argument(help="rows: .csv, .parquet, a folder of .parquet, or .npy")],
    models: Annotated[Path, typer.Option(help="the models folder")] = Path("models"),
    num_samples: Annotated[
        list[int] | None,
        typer.Option("--num-samples", "-k", help="K of log_evidence, repeatable; default: 1, 10, 100, 1000, 5000"),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="column that marks anomalies, or a .npy file of one label a row")
    ] = None,
    anomaly: Annotated[
        list[str] | None, typer.Option(help="value of the label that means anomaly, repeatable; default: 1")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="of the draws, which are each row's own")] = 0,
    out: Annotated[Path | None, typer.Option(help="folder for evaluation.json, evidence.png and scores.png")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout in place of the table")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:<index>")] = "auto",
    batch_rows: Annotated[int | None, typer.Option(min=1, help="rows read at once")] = None,
) -> None:
    """Measure a model on rows: ELBO, log evidence by K, bits per dimension, active units; AUROC where labels tell."""
    from vaekit.cli.progress import bar
    from vaekit.errors import InputError
    from vaekit.runtime import Model
    from vaekit.scoring import COUNTS, evaluate_file, locate

    if anomaly and label is None:
        raise InputError("--anomaly says which labels mean anomaly: give --label too")
    if out is not None:
        _make(out)
    with Model.load(locate(model, models), device=device) as loaded, bar("evaluating") as progress:
        found = evaluate_file(
            loaded, data, num_samples=num_samples or COUNTS, seed=seed, label=label, anomalies=anomaly or ["1"],
            batch_rows=batch_rows, progress=progress,
        )  # fmt: skip
    text = json.dumps(found.tree(), indent=2)
    if as_json:
        typer.echo(text)
    else:
        _show(Console(highlight=False), found)
    if out is not None:
        _write(out, text, found)


def _make(folder: Path) -> None:
    """The folder, before hours are spent on what goes into it."""
    from vaekit.errors import InputError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise InputError(f"{folder}: cannot be made: {exc.strerror}") from exc


def _write(folder: Path, text: str, found: Evaluation) -> None:
    from vaekit.scoring.evaluation.plots import draw
    from vaekit.scoring.files.writer import replacing

    path = folder / "evaluation.json"
    with replacing(path) as temp:
        temp.write_text(text + "\n")
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        pictures = draw(found, folder)
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.split(".")[0] != "matplotlib":
            raise
        pictures = []
        console.print("[yellow]no pictures: matplotlib is not installed: pip install 'vaekit\\[scoring]'[/]")
    console.print(f"written: {escape(', '.join(map(str, [path, *pictures])))}")


def _show(console: Console, found: Evaluation) -> None:
    for group, figures in {**found.figures, **found.detection}.items():
        ranks = group in found.detection
        what = f"anomalies ranked by {group}" if ranks else f"{_count(found, group)}, mean over rows"
        table = Table(title=f"{found.model} on {escape(found.data)}: {what}", title_justify="left")
        for column in ("figure", "value", "standard error"):
            table.add_column(column, justify="left" if column == "figure" else "right", no_wrap=True)
        table.add_column("unit")
        for name, metric in figures.items():
            table.add_row(name, *_cells(metric))
        console.print(table)


def _count(found: Evaluation, group: str) -> str:
    return f"{len(found.groups[group]):,} {'normal rows' if group == 'normal' else group}"


def _cells(metric: Metric) -> tuple[str, str, str]:
    error = metric.standard_error
    return f"{metric.value:.6g}", "-" if error is None else f"{error:.2g}", metric.unit or ""
