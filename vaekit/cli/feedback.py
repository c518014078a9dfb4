"""`vae feedback`: compares labels that came late with logged scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vaekit.cli.options import Anomaly, AsJson, Quiet, make_folder
from vaekit.cli.output import say, suggest, warn
from vaekit.cli.panels import INPUT, LABELS, OUTPUT, SCORING, examples

if TYPE_CHECKING:
    from vaekit.scoring.feedback.rates import Rate, Weighted
    from vaekit.scoring.feedback.report import Feedback

EXAMPLES = examples(
    "vae feedback examples/labels.csv --scores scored.parquet --id sample --label diagnosis --anomaly malignant",
    "vae feedback examples/labels.csv --scores scored.parquet --id sample --label diagnosis --out feedback",
)

RATES = ("normal", "false alarms", "95 % interval", "anomalies", "detected", "95 % interval")  # headings


def feedback(
    labels: Annotated[Path, typer.Argument(metavar="LABELS", help="labels by id: .csv or .parquet")],
    scores: Annotated[
        Path,
        typer.Option(
            help="score log of the service, or what vae score wrote: a folder of .parquet files, or one file",
            rich_help_panel=INPUT,
        ),
    ],
    id_column: Annotated[
        str,
        typer.Option(
            "--id",
            help="column with the id of a row, in the labels and in the output of vae score; labels without it have "
            "request_id and row",
            rich_help_panel=LABELS,
        ),
    ] = "id",
    label: Annotated[
        str, typer.Option(help="column with the label; any value but those of --anomaly means normal",
                          rich_help_panel=LABELS)
    ] = "label",
    anomaly: Anomaly = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            help="compare p-values with this false-alarm rate; default: the verdicts as they were answered",
            rich_help_panel=SCORING,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="folder for feedback.json and feedback.png; default: no files", rich_help_panel=OUTPUT),
    ] = None,
    as_json: AsJson = False,
    _quiet: Quiet = False,
) -> None:  # fmt: skip
    """Measure false alarms and detections of a model in use, from labels that came late."""
    from vaekit.scoring.feedback.report import feedback as measure

    if out is not None:
        make_folder(out)
    found = measure(labels, scores, id_column=id_column, label=label, anomalies=anomaly or ["1"], alpha=alpha)
    text = json.dumps(found.tree(), indent=2)
    if out is not None:
        _write(out, text, found)
    if as_json:
        typer.echo(text)
    else:
        _show(found)
    for warning in found.warnings:
        warn(warning)
    suggest(f"vae calibrate MODEL --feedback {labels} --scores {scores} --id {id_column} --label {label}")


def _write(folder: Path, text: str, found: Feedback) -> None:
    from vaekit.scoring.feedback.plot import draw
    from vaekit.scoring.files.writer import replacing

    path, figure = folder / "feedback.json", folder / "feedback.png"
    with replacing(path) as temp:
        temp.write_text(text + "\n", encoding="utf-8")
    written = [path]
    try:
        draw(found, figure)
        written.append(figure)
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.split(".")[0] != "matplotlib":
            raise
        say("no figure: matplotlib is not installed: pip install 'vaekit[scoring]'")
    say(f"written: {', '.join(map(str, written))}")


def _show(found: Feedback) -> None:
    typer.echo(
        f"{found.matched:,} of {found.labels:,} labels have a score; {found.duplicates:,} repeated, "
        f"{found.conflicting:,} conflicting (left out), {found.unlabelled:,} without id or label"
    )
    if found.scored_again or found.rows_without_verdict:
        typer.echo(
            f"scored rows: {found.scored_again:,} scored again later, {found.rows_without_verdict:,} without a verdict"
        )
    table = Table()
    for heading in ("rows of", "alpha", *RATES):
        table.add_column(heading, justify="left" if heading == "rows of" else "right")
    for part in found.parts:
        alpha = "-" if part.alpha is None else f"{part.alpha:g}"
        table.add_row(escape(part.name), alpha, *_rate(part.false_alarms), *_rate(part.detections))
        if part.chosen_by_flag and part.weighted_false_alarms is not None:
            weighted = [*_weighted(part.weighted_false_alarms), *_weighted(part.weighted_detections)]
            table.add_row("  weighted", "", *weighted)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160
    console.print(table)


def _rate(rate: Rate) -> tuple[str, str, str]:
    if rate.value is None:
        return f"{rate.n:,}", "-", "-"
    return f"{rate.n:,}", f"{rate.hits:,} = {_percent(rate.value)} %", _interval(rate.low, rate.high)


def _weighted(rate: Weighted | None) -> tuple[str, str, str]:
    return ("", "-", "-") if rate is None else ("", f"{_percent(rate.value)} %", _interval(rate.low, rate.high))


def _percent(share: float | None) -> str:
    assert share is not None, "a rate of rows has a value and an interval"
    return f"{100 * share:.3g}"


def _interval(low: float | None, high: float | None) -> str:
    return f"{_percent(low)} .. {_percent(high)} %"
