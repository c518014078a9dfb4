"""`vae train`: trains a VAE from a config or a data file and publishes a bundle."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from vaekit.cli import completion
from vaekit.cli.csv_options import TrainingDecimal, TrainingDelimiter, TrainingThousands, csv_settings
from vaekit.cli.options import Anomaly, AsJson, LabelFolder, Quiet, image_settings, label_of, setting
from vaekit.cli.output import is_quiet
from vaekit.cli.panels import CONFIG, DEVICE, GENERAL, INPUT, LABELS, OUTPUT, examples
from vaekit.cli.progress import TrainingLines
from vaekit.cli.remarks import Remarks
from vaekit.cli.train_report import report
from vaekit.errors import ConfigError, Interrupted

SHOWN_EVERY = 20  # steps between two updates of the progress bar, because an update takes as long as a small step
EXAMPLES = examples(
    "vae train breast-cancer --label malignant --seed 1 --name cells",
    "vae train examples/breast-cancer.toml --set network.latent_dim=4 --quiet",
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vaekit.bundle.manifest import Manifest
    from vaekit_training.config import Config
    from vaekit_training.loop.folder import Keep
    from vaekit_training.loop.tracking import History, Validation
    from vaekit_training.run import Listener

Source = Annotated[
    str | None,
    typer.Argument(
        metavar="CONFIG.toml | DATA",
        help="config, or data (.csv, .parquet, .npy, .npz, a folder of images, breast-cancer, digits) for which a "
        "config is made; required unless --resume is given",
        autocompletion=completion.training_sources,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="one value of the config to change; repeatable; default: none",
        rich_help_panel=CONFIG,
    ),
]
Name = Annotated[
    str | None,
    typer.Option(help="name of the model; default: that of the config, else of the data", rich_help_panel=CONFIG),
]
Seed = Annotated[
    int | None,
    typer.Option(
        min=0, help="seed of splits, training and draws; default: that of the config, else 0", rich_help_panel=CONFIG
    ),
]
Label = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        autocompletion=completion.columns,
        help="column that marks anomalies, which are kept for testing and never trained on; default: no labels",
        rich_help_panel=LABELS,
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN",
        autocompletion=completion.columns,
        help="column to leave out, besides those of the config; repeatable; default: ids, dates and empty columns",
        rich_help_panel=INPUT,
    ),
]
Resize = Annotated[
    str | None,
    typer.Option(
        metavar="WIDTHxHEIGHT",
        help="size in pixels to scale all images of a folder to, or one number for a square; default: the size of "
        "the files",
        rich_help_panel=INPUT,
    ),
]
Models = Annotated[Path, typer.Option(help="folder of models in which the bundle is published", rich_help_panel=OUTPUT)]
Device = Annotated[
    str, typer.Option(help="device to train on: auto, cpu, cuda or cuda:<index>", rich_help_panel=DEVICE)
]
RunFolder = Annotated[
    Path | None,
    typer.Option(
        help="folder for the config, checkpoints and TensorBoard events of the run; default: runs/NAME/NUMBER",
        rich_help_panel=OUTPUT,
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(help="folder of an interrupted run to continue; default: a new run", rich_help_panel=INPUT),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", help="all figures of the test rows, not the summary alone", rich_help_panel=GENERAL
    ),
]


def train(
    source: Source = None,
    label: Label = None,
    anomaly: Anomaly = None,
    label_folder: LabelFolder = False,
    exclude: Exclude = None,
    name: Name = None,
    seed: Seed = None,
    overrides: Overrides = None,
    delimiter: TrainingDelimiter = None,
    decimal: TrainingDecimal = None,
    thousands: TrainingThousands = None,
    resize: Resize = None,
    models: Models = Path("models"),
    run: RunFolder = None,
    resume: Resume = None,
    device: Device = "auto",
    as_json: AsJson = False,
    verbose: Verbose = False,
    _quiet: Quiet = False,
) -> None:
    """Train a VAE and publish it as a new version of its model."""
    from vaekit_training.loop.distributed import is_first_rank

    label = label_of(label, label_folder)
    named = [("data.label", label), ("data.anomalies", anomaly or None), ("name", name), ("training.seed", seed)]
    named += [(f"data.{key}", value) for key, value in csv_settings(delimiter, decimal, thousands).items()]
    settings = [*(overrides or []), *(setting(*one) for one in named if one[1] is not None), *image_settings(resize)]
    prints = is_first_rank() and not is_quiet()  # only the first rank prints
    console = Console(stderr=True, highlight=False, quiet=not prints)
    with Remarks(console) as said:
        config, remarks, keep = _run_of(source, settings, exclude or [], run, resume, said)
        manifest = _trained(config, remarks, keep, models, device, console, said)
        if is_first_rank():
            report(manifest, models, console, said, as_json=as_json, verbose=verbose)


def _run_of(
    source: str | None,
    settings: list[str],
    exclude: list[str],
    run: Path | None,
    resume: Path | None,
    said: Remarks,
) -> tuple[Config, list[str], Keep]:
    """(config, remarks on the data that it was inferred from, where the run is kept), for a new or a resumed run.

    Raises:
        ConfigError: nothing to train, a setting beside --resume, or an invalid config.
    """
    from vaekit_training.loop.folder import Keep, resumed

    if resume is not None:
        _refuse_with_resume(source, [*settings, *exclude], run)
        return resumed(resume), [], Keep(resume, resume=True)
    if source is None:
        raise ConfigError("nothing to train: give CONFIG.toml or DATA, or --resume DIR")
    config, remarks = _config(source, settings, said, exclude)
    return config, remarks, Keep(run) if run else Keep(Path("runs") / config.name, numbered=True)


def _trained(
    config: Config, remarks: list[str], keep: Keep, models: Path, device: str, console: Console, said: Remarks
) -> Manifest:
    """Train and publish; a signal ends the command with its exit code. `said` gets what is found in the rows."""
    from vaekit_training.run import train as start

    try:
        with _listener(console, config, said) as listener:
            return start(config, models, device=device, listener=listener, keep=keep, inspected=remarks)
    except KeyboardInterrupt:
        console.print("[yellow]stopped; nothing was published[/]")
        raise typer.Exit(130) from None
    except Interrupted as exc:
        console.print(f"[yellow]{escape(str(exc))}; nothing was published[/]", soft_wrap=True)
        raise typer.Exit(128 + signal.SIGTERM) from None


def _refuse_with_resume(source: str | None, settings: list[str], run: Path | None) -> None:
    for name, given in (("CONFIG.toml or DATA", source), ("--set and other settings", settings), ("--run", run)):
        if given:
            raise ConfigError(f"--resume continues a run unchanged: leave out {name}")


def _config(source: str, overrides: list[str], said: Remarks, exclude: Sequence[str] = ()) -> tuple[Config, list[str]]:
    """(the config, remarks on the data that it was inferred from); `exclude`: columns besides those of the config."""
    from vaekit_training.config import load_config, make_config, parse_overrides
    from vaekit_training.infer import infer, overrides_beside, section

    if source.endswith(".toml"):
        found = load_config(source, overrides)
        if not exclude:
            return found, []
        return load_config(source, [*overrides, setting("data.exclude", [*found.data.exclude, *exclude])]), []
    if source.endswith((".yaml", ".yml", ".json")):
        raise ConfigError(f"{source}: expected a config file that ends in .toml, or a data file or folder")
    if exclude:
        given = section(parse_overrides(overrides), "data").get("exclude", [])
        overrides = [*overrides, setting("data.exclude", [*given, *exclude])]
    parsed = parse_overrides(overrides)
    tree, remarks = infer(source, parsed)
    for remark in remarks:
        said.add(remark)
    return make_config(tree, overrides_beside(parsed, parsed)), remarks


def _print(console: Console, text: str) -> None:
    console.print(f"[dim]{escape(text)}[/]", soft_wrap=True)


@contextmanager
def _listener(console: Console, config: Config, said: Remarks) -> Iterator[Listener]:
    from vaekit_training.run import Listener

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[elbo]}"),
    )
    say = partial(_print, console)
    lines = TrainingLines(config.training.steps, say)
    with Progress(*columns, console=console, refresh_per_second=4, disable=not console.is_terminal) as progress:
        task = progress.add_task(
            f"training {config.name}", total=config.training.steps, elbo="", start=False, visible=False
        )

        def on_step(step: int) -> None:
            said.on_step()
            if not console.is_terminal:
                lines.on_step(step)
                return
            if not progress.tasks[0].started:
                progress.start_task(task)
                progress.update(task, visible=True)
            if step % SHOWN_EVERY == 0 or step == config.training.steps:
                progress.update(task, completed=step)

        def on_validation(validation: Validation) -> None:
            progress.update(task, elbo=lines.on_validation(validation.step, validation.elbo))

        def on_best(validation: Validation) -> None:
            lines.on_best(validation.step, validation.elbo)

        def on_trained(history: History) -> None:
            if not history.validations[-1].step:  # a kernel prior has no steps
                return
            progress.update(task, total=history.validations[-1].step)
            why = "stopped early, since validations got no better" if history.stopped_early else "ran to the last step"
            console.print(f"[dim]{why}; kept the best weights, of step {history.best.step}[/]", soft_wrap=True)

        yield Listener(
            say, on_step, on_validation, on_best, on_trained, warn=said.warn, found=said.warn, remark=said.add
        )
