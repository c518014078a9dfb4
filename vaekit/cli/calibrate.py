"""`vae calibrate`: publishes a new version of a model that is calibrated on other held-out rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vaekit.cli import calibrate_options as opt
from vaekit.cli.csv_options import Decimal, Delimiter, Thousands, dialect_of
from vaekit.cli.options import (
    Anomaly,
    AsJson,
    BatchRows,
    Device,
    LabelFolder,
    Models,
    Quiet,
    beside,
    in_use,
    label_of,
    naming,
)
from vaekit.cli.output import confirm, print_json, say, suggest
from vaekit.cli.panels import examples

if TYPE_CHECKING:
    from vaekit.bundle.groups import Groups
    from vaekit.bundle.manifest import CalibrationEntry, Manifest

EXAMPLES = examples(
    "vae calibrate breast-cancer examples/rows.csv",
    "vae calibrate breast-cancer@1 examples/rows.csv --num-samples 16 --propose --json",
)


def calibrate(
    model: opt.Model,
    data: opt.Data = None,
    models: Models = Path("models"),
    num_samples: opt.NumSamples = None,
    by: opt.By = None,
    least_rows: opt.LeastRows = None,
    propose: opt.Propose = False,
    feedback: opt.Feedback = None,
    scores: opt.Scores = None,
    id_column: opt.IdColumn = "id",
    label: opt.Label = None,
    label_folder: LabelFolder = False,
    anomaly: Anomaly = None,
    as_json: AsJson = False,
    delimiter: Delimiter = None,
    decimal: Decimal = None,
    thousands: Thousands = None,
    device: Device = "auto",
    batch_rows: BatchRows = None,
    _quiet: Quiet = False,
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
    csv = dialect_of(folder, delimiter, decimal, thousands)
    with Model.load(folder, device=device) as loaded, naming(data or "", csv=csv), bar("scoring") as progress:
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
                csv=csv, propose=propose,
            )  # fmt: skip
    _tell(manifest, folder.parent, as_json=as_json)


def _tell(manifest: Manifest, model_folder: Path, *, as_json: bool) -> None:
    from vaekit.bundle.proposal import is_proposed, read_proposal
    from vaekit.cli.proposals import show, waiting, warn

    folder = model_folder / str(manifest.version)
    proposal = read_proposal(folder) if is_proposed(folder) else None
    if as_json:
        proposed = {} if proposal is None else {"proposal": proposal.model_dump(mode="json")}
        print_json({**_tree(manifest), **proposed})
    else:
        _show(manifest)
        if proposal is not None:
            show(proposal, f"{manifest.name}@{manifest.version}")
    if proposal is not None:
        warn(proposal)
    (say if as_json else confirm)(in_use(manifest, model_folder) if proposal is None else waiting(manifest))
    name = f"{manifest.name}@{manifest.version}"
    then = f"vae score {name} ROWS.csv scored.csv" if proposal is None else f"vae models accept {name} --dry-run"
    suggest(then + beside(model_folder.parent))


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
