"""`vae score`: scores files of rows, by a bundle here or by a running service."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

if TYPE_CHECKING:
    from vaekit.bundle.manifest import Precision
    from vaekit.scoring import Options, Scorer, Summary
    from vaekit.scoring.batch.folder import Engine
    from vaekit.scoring.scorers import ScoringOptions

INPUTS = ".csv, .parquet, .arrow, .feather, a folder of .parquet, or .npy; a path or a URI (s3://, gs://)"
OUTPUT = ".parquet or .csv, replaced only when all of it is written; or a folder of parts: a name without an ending"


def score(
    model: Annotated[str, typer.Argument(help="name, name@version, or the path of a bundle")],
    source: Annotated[str, typer.Argument(metavar="INPUT", help=INPUTS)],
    output: Annotated[str, typer.Argument(help=OUTPUT)],
    models: Annotated[Path, typer.Option(help="the models folder")] = Path("models"),
    url: Annotated[str | None, typer.Option(help="score through the service that runs there")] = None,
    key: Annotated[str | None, typer.Option(envvar="VAE_KEY", help="bearer key of that service")] = None,
    alpha: Annotated[float, typer.Option(help="false-alarm rate of is_anomaly")] = 0.05,
    num_samples: Annotated[int | None, typer.Option(help="Monte-Carlo draws K; default: the model's")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:<index>")] = "auto",
    precision: Annotated[
        Literal["float32", "float16"], typer.Option(help="float32, or float16 for a model that has it")
    ] = "float32",
    batch_rows: Annotated[int | None, typer.Option(min=1, help="rows read and scored at once")] = None,
    columns: Annotated[
        str | None, typer.Option(help="columns of the input that are kept, as a,b; none: the row's number alone")
    ] = None,
    explain: Annotated[
        int | None, typer.Option(min=1, help="also so many cells of each row, the oddest first; 30 times the work")
    ] = None,
    fdr: Annotated[float | None, typer.Option(help="false-discovery rate of is_discovery over the whole run")] = None,
    quarantine: Annotated[
        str | None, typer.Option(help=".parquet or .csv for rows that the model does not take, which else end the run")
    ] = None,
    max_bad: Annotated[str | None, typer.Option(help="how many such rows there may be: N or P%")] = None,
    summary: Annotated[Path | None, typer.Option(help=".json of what the run found; a picture lies beside it")] = None,
    top: Annotated[int, typer.Option(min=0, help="how many of the oddest rows the summary names")] = 10,
    part_rows: Annotated[int | None, typer.Option(min=1, help="rows of a part, about")] = None,
    partitions: Annotated[bool, typer.Option(help="lay parts in folders key=value as the input's are")] = False,
    resume: Annotated[bool, typer.Option(help="go on with the parts that are there")] = False,
    engine: Annotated[Literal["local", "ray"], typer.Option(help="who scores the parts")] = "local",
    actors: Annotated[str | None, typer.Option(help="how many actors of ray, MIN:MAX; default: one a core")] = None,
) -> None:
    """Score every row of an input: ELBO and its terms in nats, p-value and verdict, appended to its columns."""
    from vaekit.cli.progress import bar
    from vaekit.scoring import score_file, score_folder
    from vaekit.scoring.files.paths import names_a_folder

    options = _options(columns, part_rows, partitions, quarantine, max_bad, fdr, top)
    to_folder = names_a_folder(output)
    _check(to_folder, {"--resume": resume, "--partitions": partitions, "--part-rows": part_rows, "--engine": engine})
    _check_summary(summary)
    signal.signal(signal.SIGTERM, _stop)  # as Ctrl-C does, so that nothing half-written stays
    asked: ScoringOptions = {"num_samples": num_samples, "alpha": alpha, "explain": explain}
    with (
        _scorer(model, models, url, key, device, precision, asked) as scorer,
        _cluster(model, models, url, device, precision, actors, asked) if engine == "ray" else nullcontext() as by,
        bar("scoring") as progress,
    ):
        run = partial(score_file, scorer, source, output)
        if to_folder:
            run = partial(score_folder, scorer, source, output, resume=resume, engine=by)
        done = run(batch_rows=batch_rows, options=options, progress=progress)
    _report(done)
    if summary is not None:
        _write_summary(done, summary)


def _options(
    columns: str | None,
    part_rows: int | None,
    partitions: bool,
    quarantine: str | None,
    max_bad: str | None,
    fdr: float | None,
    top: int,
) -> Options:
    from vaekit.errors import InputError
    from vaekit.scoring import Options
    from vaekit.scoring.batch.invalid_rows import Budget
    from vaekit.scoring.batch.options import PART_ROWS
    from vaekit.scoring.files.paths import place

    if max_bad is not None and quarantine is None:
        raise InputError("--max-bad: bad rows need a place to go to, --quarantine FILE")
    kept = None if columns is None else [] if columns == "none" else columns.split(",")
    return Options(
        columns=kept,
        part_rows=part_rows or PART_ROWS,
        partitions=partitions,
        quarantine=None if quarantine is None else place(quarantine),
        max_bad=Budget.of(max_bad),
        fdr=fdr,
        top=top,
    )


def _check(to_folder: bool, asked: dict[str, object]) -> None:
    """Refuse what only a folder has, where the output is a file."""
    from vaekit.errors import InputError

    for name, value in asked.items():
        if value not in (None, False, "local") and not to_folder:
            raise InputError(f"{name}: the output is one file, and this is for a folder of parts")


def _check_summary(summary: Path | None) -> None:
    """Refuse, before the work and not after it, a summary that cannot be written."""
    from vaekit.errors import InputError

    if summary is None:
        return
    if summary.suffix != ".json":
        raise InputError(f"--summary: {summary}, expected a name that ends in .json")
    if not summary.absolute().parent.is_dir():
        raise InputError(f"--summary: {summary}: no folder {summary.parent}")


def _write_summary(done: Summary, where: Path) -> None:
    from vaekit.scoring.batch.summary_plot import draw
    from vaekit.scoring.files.paths import place

    done.write(place(where))
    typer.echo(f"summary: {where}, {draw(done, where.with_suffix('.png'))}")


def _stop(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)


@contextmanager
def _scorer(
    model: str,
    models: Path,
    url: str | None,
    key: str | None,
    device: str,
    precision: Precision,
    asked: ScoringOptions,
) -> Iterator[Scorer]:
    from vaekit.scoring import LocalScorer, RemoteScorer, locate, split_reference

    if url is None:
        from vaekit.runtime import Model
        from vaekit.runtime.cpu_count import cpu_count

        with Model.load(locate(model, models), device=device, threads=1, precision=precision) as loaded:
            yield LocalScorer(loaded, **asked, at_once=cpu_count() if loaded.device == "cpu" else 1)
        return
    from vaekit.client import Client

    with Client(url, key=key) as client:
        yield RemoteScorer(client, *split_reference(model), **asked)


def _cluster(
    model: str,
    models: Path,
    url: str | None,
    device: str,
    precision: Precision,
    actors: str | None,
    asked: ScoringOptions,
) -> AbstractContextManager[Engine]:
    from vaekit.errors import InputError
    from vaekit.scoring import locate
    from vaekit.scoring.batch.ray_engine import Actors, Recipe, on_ray

    if url is not None:
        raise InputError("--engine ray: the actors have the model themselves, and --url has a service do the work")
    where = str(locate(model, models).absolute())
    recipe = Recipe(where, asked, precision, "cuda" if device == "cuda" else "cpu")
    return on_ray(recipe, Actors.of(actors))


def _report(summary: Summary) -> None:
    typer.echo(
        f"{summary.rows:,} rows in {summary.seconds:.1f} s ({summary.rows_per_second:,.0f} rows/s) by {summary.model}"
    )
    if summary.before.parts:
        typer.echo(f"{summary.before.parts:,} parts with {summary.before.rows:,} of the rows were there already")
    if summary.quarantined:
        typer.echo(f"{summary.quarantined:,} rows in quarantine: {_listed(summary)}")
    if summary.reason is not None:
        typer.echo(f"no p-values: {summary.reason}")
    elif summary.share is not None:
        typer.echo(f"{summary.anomalies:,} anomalies ({summary.share:.2%}) at alpha = {summary.alpha:g}")
    if summary.unknown:
        typer.echo(f"{summary.unknown:,} rows have no p-value: no calibration row has as many observed columns")
    if (found := summary.discoveries) is not None:
        typer.echo(f"{found.count:,} discoveries (p <= {found.cut:.3g}) at a false-discovery rate of {found.q:g}")
    if (drift := summary.drift) is not None:
        distances = f"KS {drift.ks:.3f}, by chance {drift.ks_by_chance:.3f}; PSI {drift.psi:.3f}"
        typer.echo(f"drift: {drift.reading} ({distances})")
    typer.echo(f"written to {summary.output}")


def _listed(summary: Summary) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in summary.tally.bad.most_common(5))
