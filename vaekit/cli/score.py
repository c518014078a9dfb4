"""`vae score`: words and a progress bar around batch scoring. Knows flags, not formats."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

if TYPE_CHECKING:
    from vaekit.bundle.manifest import Precision
    from vaekit.scoring import Scorer, Summary


def score(
    model: Annotated[str, typer.Argument(help="name, name@version, or the path of a bundle")],
    source: Annotated[Path, typer.Argument(metavar="INPUT", help=".csv, .parquet, a folder of .parquet, or .npy")],
    output: Annotated[Path, typer.Argument(help=".parquet or .csv; replaced only when all of it is written")],
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
) -> None:
    """Score every row of a file: ELBO and its terms in nats, p-value and verdict, appended to its columns."""
    from vaekit.cli.progress import bar
    from vaekit.scoring import score_file

    signal.signal(signal.SIGTERM, _stop)  # as Ctrl-C does, so that nothing half-written stays
    with _scorer(model, models, url, key, num_samples, alpha, device, precision) as scorer, bar("scoring") as progress:
        summary = score_file(scorer, source, output, batch_rows=batch_rows, progress=progress)
    _report(summary)


def _stop(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)


@contextmanager
def _scorer(
    model: str,
    models: Path,
    url: str | None,
    key: str | None,
    num_samples: int | None,
    alpha: float,
    device: str,
    precision: Precision,
) -> Iterator[Scorer]:
    from vaekit.scoring import LocalScorer, RemoteScorer, locate, split_reference

    if url is None:
        from vaekit.runtime import Model

        with Model.load(locate(model, models), device=device, precision=precision) as loaded:
            yield LocalScorer(loaded, num_samples=num_samples, alpha=alpha)
        return
    from vaekit.client import Client

    with Client(url, key=key) as client:
        yield RemoteScorer(client, *split_reference(model), num_samples=num_samples, alpha=alpha)


def _report(summary: Summary) -> None:
    typer.echo(
        f"{summary.rows:,} rows in {summary.seconds:.1f} s ({summary.rows_per_second:,.0f} rows/s) by {summary.model}"
    )
    if summary.reason is not None:
        typer.echo(f"no p-values: {summary.reason}")
    elif summary.share is not None:
        typer.echo(f"{summary.anomalies:,} anomalies ({summary.share:.2%}) at alpha = {summary.alpha:g}")
    if summary.unknown:
        typer.echo(f"{summary.unknown:,} rows have no p-value: no calibration row has as many observed columns")
    typer.echo(f"written to {summary.output}")
