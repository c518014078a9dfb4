"""`vae explain-loss`: a foreign loss in words and flags, its equal here as a table or JSON. Knows no arithmetic."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vaekit.losses import Convention, Equivalent, Explanation

_OWN = "default: the named loss's own, else "
Reduction = Literal["sum", "mean"]


def explain_loss(
    name: Annotated[
        str | None, typer.Argument(help="a loss known by name; without it and without flags: a list")
    ] = None,
    error: Annotated[
        Literal["squared", "half-squared", "bce", "gaussian"] | None,
        typer.Option(help=f"the reconstruction error; gaussian: -log N(x; m, SCALE^2), whole; {_OWN}squared"),
    ] = None,
    over_dims: Annotated[Reduction | None, typer.Option(help=f"the error over data dimensions; {_OWN}sum")] = None,
    weight: Annotated[float | None, typer.Option(help=f"of the error; {_OWN}1")] = None,
    scale: Annotated[float | None, typer.Option(help="of gaussian")] = None,
    kl_over: Annotated[
        Literal["sum", "mean", "dims"] | None,
        typer.Option(help=f"the KL over latent dimensions; dims: its sum divided by D; {_OWN}sum"),
    ] = None,
    kl_weight: Annotated[float | None, typer.Option(help=f"of the KL; {_OWN}1")] = None,
    warmed_up: Annotated[
        float | None,
        typer.Option(help="share of a linear KL warm-up that training got through: the weight ends there; default: 1"),
    ] = None,
    over_rows: Annotated[Reduction | None, typer.Option(help=f"the error over a batch's rows; {_OWN}mean")] = None,
    kl_over_rows: Annotated[Reduction | None, typer.Option(help=f"the KL over a batch's rows; {_OWN}mean")] = None,
    dim: Annotated[int | None, typer.Option(help="D, data dimensions: H W C for pictures")] = None,
    latent_dim: Annotated[int | None, typer.Option(help="Z, latent dimensions")] = None,
    batch_size: Annotated[int | None, typer.Option(help="rows of a batch")] = None,
    units: Annotated[
        Literal["standardized", "unit", "symmetric", "raw"] | None,
        typer.Option(help=f"x in the loss: pixels 0..1 are unit, -1..1 symmetric; {_OWN}standardized"),
    ] = None,
    std: Annotated[float | None, typer.Option(help="raw: a column's standard deviation")] = None,
    grey: Annotated[bool | None, typer.Option("--grey/--binary", help="bce: what x is")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout")] = False,
) -> None:
    """Say what a VAE loss written elsewhere equals here: sigma, beta, the factor between the gradients, constants."""
    from vaekit.errors import InputError
    from vaekit.losses import CONVENTIONS, explain, losses_of

    given = _given(
        error=error, over_dims=over_dims, weight=weight, scale=scale, kl_over=kl_over, kl_weight=kl_weight,
        over_rows=over_rows, kl_over_rows=kl_over_rows, dim=dim, latent_dim=latent_dim, batch_size=batch_size,
        units=units, std=std, grey=grey,
    )  # fmt: skip
    console = Console(highlight=False)
    if name is None and not given and warmed_up is not None:
        raise InputError("--warmed-up is a share of a KL weight: name a loss, or say its --error and --kl-weight")
    if name is None and not given:
        _list(console, CONVENTIONS, as_json)
        return
    found = {
        variant: explain(loss)
        for variant, loss in losses_of(name, given, 1.0 if warmed_up is None else warmed_up).items()
    }
    convention = None if name is None else CONVENTIONS[name]
    if as_json:
        typer.echo(json.dumps(_tree(name, convention, found), indent=2))
        return
    if convention is not None:
        console.print(
            f"[bold]{escape(name or '')}[/]: {escape(convention.title)} [dim]({escape(convention.source)})[/]"
        )
    for variant, explanation in found.items():
        _show(console, variant, explanation)
    if convention is not None and convention.remark:
        console.print(f"[bold]{escape(name or '')}[/]: {escape(convention.remark)}.")


def _given(**flags: Any) -> dict[str, Any]:
    """What was said."""
    return {name: value for name, value in flags.items() if value is not None}


def _list(console: Console, conventions: Mapping[str, Convention], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({name: found.title for name, found in conventions.items()}, indent=2))
        return
    table = Table("name", "loss of a row", "read in", title="losses known by name", title_justify="left")
    for name, found in conventions.items():
        table.add_row(name, escape(found.title), escape(found.source))
    console.print(table)


def _show(console: Console, variant: str, found: Explanation) -> None:
    console.print(f"\n[bold]{escape(variant)}[/]: {escape(found.formula)}")
    if found.equivalents:
        console.print(_table(found.equivalents))
    for equivalent in found.equivalents:
        only_if = f" (if {equivalent.only_if})" if equivalent.only_if else ""
        _paste(console, f"its gradient is {equivalent.factor:.6g} x that of{only_if}:", equivalent.config)
    if found.instead is not None:
        _paste(console, "rather, with a likelihood of the data as they are:", found.instead)
    for note in found.notes:
        console.print(f"- {escape(note)}")


def _table(equivalents: tuple[Equivalent, ...]) -> Table:
    table = Table()
    for column in ("sigma", "beta", "factor between the gradients", "constant left out, nats a row"):
        table.add_column(column, justify="right")
    for e in equivalents:
        sigma = "-" if e.sigma is None else f"{e.sigma:.6g}"
        table.add_row(sigma, f"{e.beta:.6g}", f"{e.factor:.6g}", f"{e.constant:.6g}")
    return table


def _paste(console: Console, head: str, config: str) -> None:
    console.print(f"[dim]# {escape(head)}[/]")
    console.print(escape(config), soft_wrap=True, end="\n\n")


def _tree(name: str | None, convention: Convention | None, found: Mapping[str, Explanation]) -> dict[str, Any]:
    said = {} if convention is None else {"source": convention.source, "remark": convention.remark}
    return {"name": name, **said, "losses": {variant: _one(explanation) for variant, explanation in found.items()}}


def _one(found: Explanation) -> dict[str, Any]:
    equivalents = [{**asdict(e), "config": e.config} for e in found.equivalents]
    for equivalent in equivalents:
        del equivalent["settings"]  # config has them
    return {**asdict(found), "equivalents": equivalents}
