"""`vae sample`: draws new rows or images from a model."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vaekit.cli.options import AsJson, Device, ModelName, Models, Quiet, beside
from vaekit.cli.output import print_json, say, suggest
from vaekit.cli.panels import OUTPUT, SCORING, examples

if TYPE_CHECKING:
    from vaekit.scoring.samples import Samples

EXAMPLES = examples(
    "vae sample breast-cancer -n 16 --seed 0 --out samples.csv", "vae sample digits -n 64 --out samples.png"
)
Count = Annotated[int, typer.Option("--count", "-n", min=1, help="number of samples", rich_help_panel=SCORING)]
Seed = Annotated[
    int,
    typer.Option(min=0, help="seed of the draws; more samples of a seed begin with the same", rich_help_panel=SCORING),
]
Temperature = Annotated[
    float, typer.Option(min=0.0, help="scale of the noise that goes into the prior", rich_help_panel=SCORING)
]
Observe = Annotated[
    bool,
    typer.Option(
        "--observe/--mean", help="draws of x from p(x|z), as data are, or the mean of p(x|z)", rich_help_panel=SCORING
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        help=".csv, .parquet or .npy file of rows; for images .png (a sheet) or .npy; default: CSV on stdout",
        rich_help_panel=OUTPUT,
    ),
]


def sample(
    model: ModelName,
    count: Count = 16,
    seed: Seed = 0,
    out: Out = None,
    observe: Observe = False,
    temperature: Temperature = 1.0,
    models: Models = Path("models"),
    as_json: AsJson = False,
    device: Device = "auto",
    _quiet: Quiet = False,
) -> None:
    """Draw new rows or images from a model."""
    from vaekit.runtime import Model
    from vaekit.scoring import locate
    from vaekit.scoring.samples import check_ending, drawn

    with Model.load(locate(model, models), device=device) as loaded:
        if out is not None or not as_json:
            check_ending(loaded.spec, out)
        found = drawn(loaded, count, seed=seed, temperature=temperature, observe=observe)
    if out is not None:
        found.write(out)
        say(f"{count:,} samples written to {out}")
    if as_json:
        print_json(_tree(found, seed, out))
    elif out is None:
        typer.echo(found.csv(), nl=False)
    to = "" if out is None else f" --out {shlex.quote(str(out))}"
    suggest(f"vae sample {shlex.quote(model)} -n {count} --seed {seed + 1}{to}{beside(models)}")


def _tree(found: Samples, seed: int, out: Path | None) -> dict[str, object]:
    facts = {"model": found.model, "n": found.n, "seed": seed, "columns": found.columns}
    return {**facts, "out": str(out)} if out is not None else {**facts, "samples": found.rows()}
