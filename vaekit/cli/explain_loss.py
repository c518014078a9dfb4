"""`vae explain-loss`: converts a VAE loss written elsewhere to sigma and beta, as a table or JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vaekit.cli.options import AsJson, Quiet
from vaekit.cli.output import print_json, suggest
from vaekit.cli.panels import DATA, ERROR, KL, examples

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vaekit.losses import Convention, Equivalent, Explanation

_OWN = "default: the named loss's, else "
Reduction = Literal["sum", "mean"]
EXAMPLES = examples(
    "vae explain-loss q2 --dim 32",
    "vae explain-loss --error bce --kl-over mean --latent-dim 20 --json",
)

# The options, grouped by panel. None means that an option was not given.

Name = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="name of a known loss; default: with no other option, a list"),
]

ErrorKind = Annotated[
    Literal["squared", "half-squared", "bce", "gaussian"] | None,
    typer.Option(
        help=f"reconstruction error; gaussian: -log N(x; m, SCALE^2) with its constants; {_OWN}squared",
        rich_help_panel=ERROR,
    ),
]
OverDims = Annotated[
    Reduction | None,
    typer.Option(help=f"reduction of the error over data dimensions; {_OWN}sum", rich_help_panel=ERROR),
]
Weight = Annotated[float | None, typer.Option(help=f"weight of the error; {_OWN}1", rich_help_panel=ERROR)]
Scale = Annotated[
    float | None,
    typer.Option(
        help=f"SCALE of gaussian, in the units of x; {_OWN}none, but gaussian requires it", rich_help_panel=ERROR
    ),
]
OverRows = Annotated[
    Reduction | None,
    typer.Option(help=f"reduction of the error over the rows of a batch; {_OWN}mean", rich_help_panel=ERROR),
]

KlOver = Annotated[
    Literal["sum", "mean", "dims"] | None,
    typer.Option(
        help=f"reduction of the KL over latent dimensions; dims: the sum divided by D; {_OWN}sum", rich_help_panel=KL
    ),
]
KlWeight = Annotated[float | None, typer.Option(help=f"weight of the KL; {_OWN}1", rich_help_panel=KL)]
WarmedUp = Annotated[
    float | None,
    typer.Option(
        help="share (0 to 1) of a linear KL warm-up that training completed; default: 1",
        rich_help_panel=KL,
    ),
]
KlOverRows = Annotated[
    Reduction | None, typer.Option(help=f"reduction of the KL over the rows of a batch; {_OWN}mean", rich_help_panel=KL)
]

Dim = Annotated[
    int | None,
    typer.Option(
        help=f"number D of data dimensions, H W C for images; {_OWN}none, but squared errors require it",
        rich_help_panel=DATA,
    ),
]
LatentDim = Annotated[
    int | None,
    typer.Option(
        help=f"number Z of latent dimensions; {_OWN}none, but --kl-over mean requires it", rich_help_panel=DATA
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        help=f"rows per batch; {_OWN}none, but required if only one term is summed over rows", rich_help_panel=DATA
    ),
]
Units = Annotated[
    Literal["standardized", "unit", "symmetric", "raw"] | None,
    typer.Option(
        help=f"units of x in the loss: unit is pixels in 0..1, symmetric in -1..1; {_OWN}standardized",
        rich_help_panel=DATA,
    ),
]
Std = Annotated[
    float | None,
    typer.Option(
        help=f"standard deviation of a column, for raw units; {_OWN}none, but --units raw requires it",
        rich_help_panel=DATA,
    ),
]
Grey = Annotated[
    bool | None,
    typer.Option(
        "--grey/--binary",
        help=f"values of x, for bce: grey (0 to 1) or binary (0, 1); {_OWN}binary",
        rich_help_panel=DATA,
    ),
]


def explain_loss(
    name: Name = None,
    error: ErrorKind = None,
    over_dims: OverDims = None,
    weight: Weight = None,
    scale: Scale = None,
    kl_over: KlOver = None,
    kl_weight: KlWeight = None,
    warmed_up: WarmedUp = None,
    over_rows: OverRows = None,
    kl_over_rows: KlOverRows = None,
    dim: Dim = None,
    latent_dim: LatentDim = None,
    batch_size: BatchSize = None,
    units: Units = None,
    std: Std = None,
    grey: Grey = None,
    as_json: AsJson = False,
    _quiet: Quiet = False,
) -> None:
    """Convert a VAE loss written elsewhere to a scale sigma and a KL weight beta."""
    given = _given(
        error=error, over_dims=over_dims, weight=weight, scale=scale, kl_over=kl_over, kl_weight=kl_weight,
        over_rows=over_rows, kl_over_rows=kl_over_rows, dim=dim, latent_dim=latent_dim, batch_size=batch_size,
        units=units, std=std, grey=grey,
    )  # fmt: skip
    if name is None and not given:
        _list_known(warmed_up, as_json)
    else:
        _explain(name, given, 1.0 if warmed_up is None else warmed_up, as_json)


def _list_known(warmed_up: float | None, as_json: bool) -> None:
    from vaekit.errors import InputError
    from vaekit.losses import CONVENTIONS

    if warmed_up is not None:
        raise InputError("--warmed-up: needs a loss; give its name, or --error and --kl-weight")
    _list(Console(highlight=False), CONVENTIONS, as_json)


def _explain(name: str | None, given: dict[str, Any], warmed_up: float, as_json: bool) -> None:
    from vaekit.losses import CONVENTIONS, explain, losses_of

    found = {variant: explain(loss) for variant, loss in losses_of(name, given, warmed_up).items()}
    convention = None if name is None else CONVENTIONS[name]
    if as_json:
        print_json(_tree(name, convention, found))
        return
    console, title = Console(highlight=False), f"[bold]{escape(name or '')}[/]"
    if convention is not None:
        console.print(f"{title}: {escape(convention.title)} [dim]({escape(convention.source)})[/]")
    for variant, explanation in found.items():
        _show(console, variant, explanation)
    if convention is not None and convention.remark:
        console.print(f"{title}: {escape(convention.remark)}.")


def _given(**options: Any) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def _list(console: Console, conventions: Mapping[str, Convention], as_json: bool) -> None:
    if as_json:
        print_json({name: found.title for name, found in conventions.items()})
        return
    table = Table("name", "loss of a row", "source", title="known losses", title_justify="left")
    for name, found in conventions.items():
        table.add_row(name, escape(found.title), escape(found.source))
    console.print(table)
    suggest(f"vae explain-loss {next(iter(conventions))}")


def _show(console: Console, variant: str, found: Explanation) -> None:
    console.print(f"\n[bold]{escape(variant)}[/]: {escape(found.formula)}")
    if found.equivalents:
        console.print(_table(found.equivalents))
    for equivalent in found.equivalents:
        only_if = f" (if {equivalent.only_if})" if equivalent.only_if else ""
        _print_config(
            console,
            f"the loss has {equivalent.factor:.6g} times the gradient of this config{only_if}:",
            equivalent.config,
        )
    if found.instead is not None:
        _print_config(console, "recommended instead: a likelihood of the data:", found.instead)
    for note in found.notes:
        console.print(f"- {escape(note)}")


def _table(equivalents: tuple[Equivalent, ...]) -> Table:
    table = Table()
    for column in ("sigma", "beta", "factor between the gradients", "constant left out, nats per row"):
        table.add_column(column, justify="right")
    for e in equivalents:
        sigma = "-" if e.sigma is None else f"{e.sigma:.6g}"
        table.add_row(sigma, f"{e.beta:.6g}", f"{e.factor:.6g}", f"{e.constant:.6g}")
    return table


def _print_config(console: Console, head: str, config: str) -> None:
    console.print(f"[dim]# {escape(head)}[/]")
    console.print(escape(config), soft_wrap=True, end="\n\n")


def _tree(name: str | None, convention: Convention | None, found: Mapping[str, Explanation]) -> dict[str, Any]:
    origin = {} if convention is None else {"source": convention.source, "remark": convention.remark}
    return {
        "name": name,
        **origin,
        "losses": {variant: _losses_tree(explanation) for variant, explanation in found.items()},
    }


def _losses_tree(found: Explanation) -> dict[str, Any]:
    equivalents = [{**asdict(e), "config": e.config} for e in found.equivalents]
    for equivalent in equivalents:
        del equivalent["settings"]  # config has them
    return {**asdict(found), "equivalents": equivalents}
