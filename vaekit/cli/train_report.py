"""What `vae train` prints about a finished run: a short summary, or JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vaekit.cli.options import beside, in_use
from vaekit.cli.output import print_json, suggest
from vaekit.cli.remarks import Remarks

if TYPE_CHECKING:
    from vaekit.bundle.manifest import Manifest

ALPHA = 0.05  # of the false alarms that are shown
WIDE = 1.5  # times ALPHA: if the true rate may be higher, more calibration rows are worth a hint
SHOWN_ALPHAS = (0.1, 0.05, 0.01, 0.001)  # of which the summary says whether the calibration rows suffice


def report(
    manifest: Manifest, models: Path, console: Console, remarks: Remarks, *, as_json: bool, verbose: bool
) -> None:
    """Print what was trained: JSON or the folder on stdout, and the summary, with the remarks, on stderr."""
    folder = models / manifest.name / str(manifest.version)
    if as_json:
        remarks.at_end()
        print_json(_tree(manifest, folder))
        return
    if verbose:
        console.print(_figures(manifest))
    _summary(console, manifest, folder)
    remarks.at_end()
    typer.echo(folder)
    new = "NEW_IMAGES" if manifest.input.kind == "image" else "NEW.csv"
    suggest(f"vae score {manifest.name} {new} scored.csv{beside(models)}", f"vae serve{beside(models)}")


def _tree(manifest: Manifest, folder: Path) -> dict[str, Any]:
    n = _calibration_rows(manifest)
    return {
        "model": f"{manifest.name}@{manifest.version}",
        "folder": str(folder),
        "report": str(folder / "report" / "report.html"),
        "calibration_rows": n,
        "smallest_alpha": 1.0 / (n + 1) if n else None,
        "metrics": {name: metric.model_dump(mode="json") for name, metric in manifest.metrics.items()},
    }


def _summary(console: Console, manifest: Manifest, folder: Path) -> None:
    from vaekit.bundle.groups import sentence

    console.print(f"[bold]{manifest.name}@{manifest.version}[/]: {_verdict(manifest)}", soft_wrap=True)
    facts = Table.grid(padding=(0, 2))
    for name, fact in _facts(manifest):
        facts.add_row(f"  {name}", escape(fact))
    console.print(facts)
    if said := _on_false_alarms(manifest, folder.parents[1]):
        console.print(escape(said), soft_wrap=True)
    if said := _privacy(manifest):
        console.print(said, soft_wrap=True)
    if manifest.groups is not None:
        console.print(escape(sentence(manifest.groups)), soft_wrap=True)
    if manifest.version > 1:
        console.print(f"[dim]{escape(in_use(manifest, folder.parent))}[/]", soft_wrap=True)
    console.print(f"report: {escape(str(folder / 'report' / 'report.html'))}", soft_wrap=True)


def _verdict(manifest: Manifest) -> str:
    """How good the model is, as far as its test rows tell."""
    metrics = manifest.metrics
    if "auroc" not in metrics:
        how = "--label-folder --anomaly FOLDER" if manifest.input.kind == "image" else "--label COLUMN"
        return f"trained and calibrated; without labels ({how}) detection is not measured"
    auroc = f"AUROC {metrics['auroc'].value:.3f}, 1 is perfect and 0.5 is chance"
    if "detection_rate" not in metrics:
        return f"known anomalies against normal test rows: {auroc}"
    return f"finds {metrics['detection_rate'].value:.0%} of the known anomalies at alpha = 0.05 ({auroc})"


def _facts(manifest: Manifest) -> list[tuple[str, str]]:
    from vaekit.bundle.calibration import rows_to_resolve

    entry = manifest.calibration.entries[0] if manifest.calibration else None
    n = _calibration_rows(manifest)
    where = " in a fold" if entry is not None and entry.folds else ""
    found = [("held out to calibrate", f"{n:,} normal rows{where}")]
    if not n:
        return found
    known = f"{1 / (n + 1):.2g}"
    lacking = [alpha for alpha in SHOWN_ALPHAS if n < rows_to_resolve(alpha)]
    if lacking:
        known += f"; alpha = {lacking[0]:g} needs {rows_to_resolve(lacking[0]):,} rows{where}"
    if ALPHA in lacking:
        known += ", and until then is_anomaly is false for every row"
    found.append(("smallest alpha", known))
    if (rate := manifest.metrics.get("false_alarm_rate")) is not None:
        error = "" if rate.standard_error is None else f" \N{PLUS-MINUS SIGN} {rate.standard_error:.1%}"
        found.append(("false alarms", f"{rate.value:.1%}{error} of {rate.n:,} test rows at alpha = 0.05"))
    if (own := _true_rate(manifest)) is not None:
        found.append(("true rate", f"between {own[0]:.1%} and {own[1]:.1%} for this one model"))
    return found


def _privacy(manifest: Manifest) -> str | None:
    """Who can read training rows in the bundle; None if nobody can."""
    if not manifest.training_rows:
        return None
    rows = f"{manifest.training_rows:,} training {'images' if manifest.input.kind == 'image' else 'rows'}"
    if manifest.exemplars is not None:
        return f"the bundle holds {rows} as they were given: everyone who has it or scores with it can read them"
    if manifest.prior.name == "kernel":
        return f"the bundle contains {rows}: everyone who has it can compute them (none with --set prior.name=normal)"
    return f"the bundle contains latents of {rows}: everyone who has it can reconstruct them approximately"


def _true_rate(manifest: Manifest) -> tuple[float, float] | None:
    """The range of the true false-alarm rate of this one model, as in the report; None if it is not known."""
    return manifest.calibration.entries[0].rate_interval(ALPHA) if manifest.calibration else None


def _on_false_alarms(manifest: Manifest, models: Path) -> str | None:
    """What to do about the false alarms: they are more than chance explains, or their true rate is hardly known."""
    from vaekit_training.report.answer.verdict import Rates

    if manifest.calibration is None:
        return None
    rates = Rates.of(manifest)
    if rates.has_too_many_alarms:
        return "chance does not explain so many false alarms: the test rows are unlike the calibration rows"
    if rates.own is None or rates.own[1] <= WIDE * ALPHA:
        return None
    new = "NORMAL_IMAGES" if manifest.input.kind == "image" else "NORMAL.csv"
    how = f"vae calibrate {manifest.name} {new}{beside(models)}"
    return f"for a narrower range of the true rate calibrate on more rows: {how}"


def _calibration_rows(manifest: Manifest) -> int:
    """Held-out rows behind a p-value; 0 without a calibration."""
    return manifest.calibration.entries[0].rows_per_p_value if manifest.calibration else 0


def _figures(manifest: Manifest) -> Table:
    """All figures of the test rows."""
    table = Table(title=f"{manifest.name} version {manifest.version}", title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("unit")
    for name, metric in manifest.metrics.items():
        error = f" ± {metric.standard_error:.2g}" if metric.standard_error is not None else ""
        rows = f" ({metric.n} rows)" if metric.n else ""
        table.add_row(name, f"{metric.value:.5g}{error}", f"{metric.unit or ''}{rows}")
    return table
