"""`vae calibrate`: publishes a new version of a model that is calibrated on other held-out rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vaekit.cli.options import (
    FORMATS,
    Anomaly,
    AsJson,
    BatchRows,
    Decimal,
    Delimiter,
    Device,
    LabelFolder,
    Models,
    Thousands,
    dialect_of,
    in_use,
    label_of,
    say,
)
from vaekit.cli.panels import INPUT, LABELS, OUTPUT, SCORING, examples

if TYPE_CHECKING:
    from vaekit.bundle.groups import Groups
    from vaekit.bundle.manifest import CalibrationEntry, Manifest

EXAMPLES = examples(
    "vae calibrate breast-cancer examples/rows.csv",
    "vae calibrate breast-cancer@1 examples/rows.csv --num-samples 16 --propose --json",
)


def calibrate(
    model: Annotated[
        str,
        typer.Argument(help="name, name@version, or path of a bundle in a folder of models"),
    ],
    data: Annotated[
        Path | None,
        typer.Argument(help=f"held-out rows: {FORMATS}; none with --feedback"),
    ] = None,
    models: Models = Path("models"),
    num_samples: Annotated[
        list[int] | None,
        typer.Option(
            help="number K of draws per row to calibrate, at least 2; repeatable; default: the model's",
            rich_help_panel=SCORING,
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMNS",
            help="group columns, separated by commas, the most important first: a row is compared with the held-out "
            "rows of its group alone; columns of the model (categories, counts, binary) or observed_cells; none: no "
            "groups; default: as before",
            rich_help_panel=SCORING,
        ),
    ] = None,
    least_rows: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="fewest held-out rows of a group; rows of a smaller one are compared with the group of one column "
            "less; default: as before, or 19",
            rich_help_panel=SCORING,
        ),
    ] = None,
    propose: Annotated[
        bool,
        typer.Option(
            "--propose",
            help="the new version is only used where it is named, until vae models accept NAME@VERSION; default: it is "
            "the latest at once",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    feedback: Annotated[
        Path | None,
        typer.Option(
            metavar="LABELS",
            help="labels by id, as for vae feedback: propose a version calibrated on rows of --scores that are "
            "confirmed as normal; default: calibrate on DATA",
            rich_help_panel=LABELS,
        ),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            help="score log of the service, for --feedback: a folder or a file; default: none", rich_help_panel=INPUT
        ),
    ] = None,
    id_column: Annotated[
        str, typer.Option("--id", help="column with the id of a row in --feedback", rich_help_panel=LABELS)
    ] = "id",
    label: Annotated[
        str | None,
        typer.Option(
            help="column that marks anomalies, or .npy file with one label per row; anomalies are left out; "
            "default: no labels; with --feedback: label",
            rich_help_panel=LABELS,
        ),
    ] = None,
    label_folder: LabelFolder = False,
    anomaly: Anomaly = None,
    as_json: AsJson = False,
    delimiter: Delimiter = ",",
    decimal: Decimal = ".",
    thousands: Thousands = "",
    device: Device = "auto",
    batch_rows: BatchRows = None,
) -> None:
    """Calibrate a model on other held-out rows and publish it as a new version."""
    from vaekit.cli.progress import bar
    from vaekit.errors import InputError
    from vaekit.runtime import Model
    from vaekit.scoring import locate, publish_calibration
    from vaekit.scoring.evaluation.confirmed import propose_confirmed

    label = label_of(label, label_folder)
    if anomaly and label is None and feedback is None:
        raise InputError("--anomaly: needs --label, the column or .npy file with the labels, or --label-folder")
    folder = locate(model, models)
    with Model.load(folder, device=device) as loaded, bar("scoring") as progress:
        if feedback is not None:
            if data is not None or scores is None:
                raise InputError("--feedback: needs --scores, the score log, in place of DATA")
            manifest = propose_confirmed(
                loaded, feedback, scores, id_column=id_column, label=label or "label", anomalies=anomaly or ["1"],
                num_samples=num_samples or (), by=_columns(by), least_rows=least_rows, batch_rows=batch_rows,
                progress=progress,
            )  # fmt: skip
        elif data is None or scores is not None:
            raise InputError("expected DATA, the held-out rows, or --feedback LABELS with --scores FOLDER")
        else:
            manifest = publish_calibration(
                loaded, data, num_samples=num_samples or (), by=_columns(by), least_rows=least_rows, label=label,
                anomalies=anomaly or ["1"], batch_rows=batch_rows, progress=progress, say=say,
                csv=dialect_of(delimiter, decimal, thousands), propose=propose,
            )  # fmt: skip
    _tell(manifest, folder.parent, as_json=as_json)


def _tell(manifest: Manifest, model_folder: Path, *, as_json: bool) -> None:
    from vaekit.bundle.proposal import is_proposed, read_proposal
    from vaekit.cli.proposals import show, waiting, warn

    folder = model_folder / str(manifest.version)
    proposal = read_proposal(folder) if is_proposed(folder) else None
    if as_json:
        proposed = {} if proposal is None else {"proposal": proposal.model_dump(mode="json")}
        typer.echo(json.dumps({**_tree(manifest), **proposed}, indent=2))
    else:
        _show(manifest)
        if proposal is not None:
            show(proposal, f"{manifest.name}@{manifest.version}")
    if proposal is not None:
        warn(proposal)
    typer.echo(in_use(manifest, model_folder) if proposal is None else waiting(manifest), err=as_json)


def _columns(by: str | None) -> list[str] | None:
    return None if by is None else [] if by == "none" else by.split(",")


def _tree(manifest: Manifest) -> dict[str, object]:
    """The calibration entries of the manifest as JSON."""
    assert manifest.calibration is not None
    return {
        "model": f"{manifest.name}@{manifest.version}",
        "parent": manifest.provenance.parent,
        "assumption": manifest.calibration.assumption,
        "calibrations": [entry.model_dump(mode="json") for entry in manifest.calibration.entries],
    }


def _show(manifest: Manifest) -> None:
    assert manifest.calibration is not None
    n = manifest.calibration.entries[0].n
    typer.echo(
        f"{manifest.name}@{manifest.version}: calibrated on {n:,} rows; the smallest p-value is {1 / (n + 1):.3g}"
    )
    typer.echo(f"assumes that {manifest.calibration.assumption}")
    for entry in manifest.calibration.entries:
        Console(highlight=False).print(_thresholds(entry))
        typer.echo(f"p_value_tail: {entry.tail.sentence() if entry.tail else 'none: too few rows to extrapolate from'}")
        if entry.groups is not None:
            Console(highlight=False).print(_groups(entry.groups))
            typer.echo(
                "pooled: too few held-out rows, so rows of this group are compared with the group of one column less, "
                "at last with all rows; so are rows of groups that are not listed"
            )


def _groups(groups: Groups) -> Table:
    """The groups, each with its rows and smallest p-value."""
    from vaekit.bundle.groups import HEADINGS, lines

    table = Table(title=f"groups by {', '.join(groups.by)}", title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading)
    for line in lines(groups):
        table.add_row(*map(escape, line))
    return table


def _thresholds(entry: CalibrationEntry) -> Table:
    from vaekit.bundle.thresholds import HEADINGS, lines

    table = Table(title=f"K = {entry.num_samples}, {entry.precision}", title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for line in lines(entry.thresholds):
        table.add_row(*line)
    return table
