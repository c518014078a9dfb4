"""`vae train`: trains a VAE from a config or a data file and publishes a bundle."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from vaekit.cli.options import Anomaly, LabelFolder, image_settings, in_use
from vaekit.cli.panels import CONFIG, DEVICE, INPUT, OUTPUT, examples
from vaekit.errors import ConfigError, Interrupted

SHOWN_EVERY = 20  # steps between two updates of the progress bar, because an update takes as long as a small step
EXAMPLES = examples(
    "vae train examples/breast-cancer.toml",
    "vae train digits --set network.latent_dim=8 --run runs/digits",
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vaekit.bundle.manifest import Manifest
    from vaekit_training.config import Config
    from vaekit_training.loop.folder import Keep
    from vaekit_training.loop.tracking import History, Validation
    from vaekit_training.run import Listener


def train(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="CONFIG.toml | DATA",
            help="config, or data (.csv, .parquet, .npy, .npz, a folder of images, breast-cancer, digits) for which a "
            "config is made; required unless --resume is given",
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="SECTION.KEY=VALUE",
            help="one value of the config to change; repeatable; default: none",
            rich_help_panel=CONFIG,
        ),
    ] = None,
    label_folder: LabelFolder = False,
    anomaly: Anomaly = None,
    resize: Annotated[
        str | None,
        typer.Option(
            metavar="WIDTHxHEIGHT",
            help="size in pixels to scale all images of a folder to, or one number for a square; default: the size of "
            "the files",
            rich_help_panel=INPUT,
        ),
    ] = None,
    models: Annotated[
        Path, typer.Option(help="folder of models in which the bundle is published", rich_help_panel=OUTPUT)
    ] = Path("models"),
    device: Annotated[
        str, typer.Option(help="device to train on: auto, cpu, cuda or cuda:<index>", rich_help_panel=DEVICE)
    ] = "auto",
    run: Annotated[
        Path | None,
        typer.Option(
            help="folder for the config, checkpoints and TensorBoard events of the run; default: runs/NAME/NUMBER",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="folder of an interrupted run to continue; default: a new run", rich_help_panel=INPUT),
    ] = None,
) -> None:
    """Train a VAE and publish it as a new version of its model."""
    from vaekit_training.loop.distributed import is_first_rank

    settings = [*(overrides or []), *image_settings(label_folder, anomaly, resize)]
    console = Console(stderr=True, highlight=False, quiet=not is_first_rank())  # only the first rank prints
    config, remarks, keep = _run_of(source, settings, run, resume, console)
    manifest = _trained(config, remarks, keep, models, device, console)
    _summary(console, manifest, models)
    if is_first_rank():
        typer.echo(models / manifest.name / str(manifest.version))


def _run_of(
    source: str | None, settings: list[str], run: Path | None, resume: Path | None, console: Console
) -> tuple[Config, list[str], Keep]:
    """(config, remarks on the data that it was inferred from, where the run is kept), for a new or a resumed run.

    Raises:
        ConfigError: nothing to train, a setting beside --resume, or an invalid config.
    """
    from vaekit_training.loop.folder import Keep, resumed

    if resume is not None:
        _refuse_with_resume(source, settings, run)
        return resumed(resume), [], Keep(resume, resume=True)
    if source is None:
        raise ConfigError("nothing to train: give CONFIG.toml or DATA, or --resume DIR")
    config, remarks = _config(source, settings, console)
    return config, remarks, Keep(run) if run else Keep(Path("runs") / config.name, numbered=True)


def _trained(config: Config, remarks: list[str], keep: Keep, models: Path, device: str, console: Console) -> Manifest:
    """Train and publish; a signal ends the command with its exit code."""
    from vaekit_training.run import train as start

    try:
        with _listener(console, config) as listener:
            return start(config, models, device=device, listener=listener, keep=keep, inspected=remarks)
    except KeyboardInterrupt:
        console.print("[yellow]stopped; nothing was published[/]")
        raise typer.Exit(130) from None
    except Interrupted as exc:
        console.print(f"[yellow]{escape(str(exc))}; nothing was published[/]", soft_wrap=True)
        raise typer.Exit(128 + signal.SIGTERM) from None


def _refuse_with_resume(source: str | None, settings: list[str], run: Path | None) -> None:
    for name, given in (("CONFIG.toml or DATA", source), ("--set", settings), ("--run", run)):
        if given:
            raise ConfigError(f"--resume continues a run unchanged: leave out {name}")


def _config(source: str, overrides: list[str], console: Console) -> tuple[Config, list[str]]:
    """(the config, remarks on the data that it was inferred from)."""
    from vaekit_training.config import load_config, make_config, parse_overrides
    from vaekit_training.infer import infer, overrides_beside

    if source.endswith(".toml"):
        return load_config(source, overrides), []
    if source.endswith((".yaml", ".yml", ".json")):
        raise ConfigError(f"{source}: expected a config file that ends in .toml, or a data file or folder")
    parsed = parse_overrides(overrides)
    tree, remarks = infer(source, parsed)
    for remark in remarks:
        console.print(f"[dim]{escape(remark)}[/]", soft_wrap=True)
    return make_config(tree, overrides_beside(parsed, parsed)), remarks


@contextmanager
def _listener(console: Console, config: Config) -> Iterator[Listener]:
    from vaekit_training.run import Listener

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[elbo]}"),
    )
    with Progress(*columns, console=console, refresh_per_second=4) as progress:
        task = progress.add_task(
            f"training {config.name}", total=config.training.steps, elbo="", start=False, visible=False
        )

        def on_step(step: int) -> None:
            if not progress.tasks[0].started:
                progress.start_task(task)
                progress.update(task, visible=True)
            if step % SHOWN_EVERY == 0 or step == config.training.steps:
                progress.update(task, completed=step)

        def on_validation(validation: Validation) -> None:
            progress.update(task, elbo=f"validation ELBO {validation.elbo:.2f} nats")

        def on_trained(history: History) -> None:
            if not history.validations[-1].step:  # a kernel prior has no steps
                return
            progress.update(task, total=history.validations[-1].step)
            why = "stopped early" if history.stopped_early else "ran to the last step"
            console.print(f"[dim]{why}; kept the weights of step {history.best.step}[/]")

        def constants(names: list[str]) -> None:
            if names:
                console.print(f"constant columns, modelled with a fixed small scale: {escape(', '.join(names))}")

        def say(text: str) -> None:
            console.print(f"[dim]{escape(text)}[/]", soft_wrap=True)

        def warn(text: str) -> None:
            console.print(f"[yellow]warning[/]: {escape(text)}", soft_wrap=True)

        yield Listener(say, on_step, on_validation, on_trained, constants, warn, found=warn)


def _summary(console: Console, manifest: Manifest, models: Path) -> None:
    from vaekit.bundle.calibration import rows_to_resolve
    from vaekit.bundle.groups import sentence

    table = Table(title=f"{manifest.name} version {manifest.version}", title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("unit")
    for name, metric in manifest.metrics.items():
        error = f" ± {metric.standard_error:.2g}" if metric.standard_error is not None else ""
        rows = f" ({metric.n} rows)" if metric.n else ""
        table.add_row(name, f"{metric.value:.5g}{error}", f"{metric.unit or ''}{rows}")
    console.print(table)
    entry = manifest.calibration.entries[0] if manifest.calibration else None
    n, where = (entry.rows_per_p_value, " in a fold" if entry.folds else "") if entry else (0, "")
    if n < (needed := rows_to_resolve(0.05)):
        console.print(
            f"[yellow]only {n} calibration rows{where}: alpha = 0.05 needs at least {needed}; until then "
            "is_anomaly is false for every row at this alpha[/]"
        )
    if manifest.groups is not None:
        console.print(escape(sentence(manifest.groups)), soft_wrap=True)
    if manifest.version > 1:
        console.print(f"[dim]{escape(in_use(manifest, models / manifest.name))}[/]", soft_wrap=True)
    console.print(f"report: {escape(str(models / manifest.name / str(manifest.version) / 'report' / 'report.html'))}")
