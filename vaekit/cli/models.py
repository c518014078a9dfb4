"""`vae models`: lists, verifies, accepts, pins and removes the versions of models in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from vaekit.cli import completion
from vaekit.cli.model_listing import described, listing
from vaekit.cli.options import AsJson, Device, Models, Quiet, beside
from vaekit.cli.output import confirm, print_json, say, suggest
from vaekit.cli.panels import OUTPUT, SCORING, Command, Group, examples
from vaekit.errors import BundleError, FormatError, InputError, UnknownModel

if TYPE_CHECKING:
    from vaekit.bundle.policy import Policy

app = typer.Typer(
    help="List, verify, accept, pin and remove the versions of models in a folder.",
    epilog=examples("vae models list", "vae models verify breast-cancer --json"),
    cls=Group,
    no_args_is_help=True,
)
Reference = Annotated[
    str, typer.Argument(metavar="NAME@VERSION", help="name of a model, and a version", autocompletion=completion.models)
]
OptionalReference = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME[@VERSION]",
        help="name of a model, and a version; default: all",
        autocompletion=completion.models,
    ),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="name of a model", autocompletion=completion.names)]


@app.command("list", epilog=examples("vae models list", "vae models list breast-cancer --json"), cls=Command)
def list_(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="name of a model; default: all", autocompletion=completion.names),
    ] = None,
    models: Models = Path("models"),
    as_json: AsJson = False,
    _quiet: Quiet = False,
) -> None:
    """List models, their versions, and the version that is used if none is named."""
    found = [described(models, each) for each in _names(models, name)]
    if as_json:
        print_json({"models": found})
        return
    _console().print(listing(found) if found else f"no model in {models}")
    if found:
        suggest(f"vae models verify {found[0]['name']}{beside(models)}")


@app.command(cls=Command, epilog=examples("vae models verify", "vae models verify breast-cancer@1 --json"))
def verify(
    model: OptionalReference = None,
    models: Models = Path("models"),
    device: Device = "cpu",
    as_json: AsJson = False,
    _quiet: Quiet = False,
) -> None:
    """Verify versions as the service does: files, graphs and golden rows; exit with 1 if one fails."""
    found = [
        {"model": f"{name}@{version}", "ok": reason is None, "reason": reason}
        for name, version, reason in _verified(models, model, device)
    ]
    if as_json:
        print_json({"versions": found})
    for one in found:
        if not as_json:
            typer.echo(f"{one['model']}: {'ok' if one['ok'] else one['reason']}")
    if not all(one["ok"] for one in found):
        raise typer.Exit(1)
    suggest(f"vae serve{beside(models)}")


@app.command(cls=Command, epilog=examples("vae models pin breast-cancer@1", "vae models pin breast-cancer --also 1"))
def pin(
    model: Annotated[
        str,
        typer.Argument(
            metavar="NAME[@VERSION]", help="name of a model; default version: latest", autocompletion=completion.models
        ),
    ],
    also: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            help="other version that the service keeps in memory; repeatable; default: none",
            rich_help_panel=SCORING,
        ),
    ] = None,
    models: Models = Path("models"),
    as_json: AsJson = False,
    _quiet: Quiet = False,
) -> None:
    """Choose the version that services and commands use if none is named."""
    from vaekit.bundle.models_folder import split_reference
    from vaekit.bundle.policy import Policy
    from vaekit.bundle.proposal import is_proposed

    name, version = split_reference(model)
    for number in [version, *(also or [])]:
        _folder(models, name, number)
    if version is not None and is_proposed(models / name / str(version)):
        raise InputError(f"{model}: this version is proposed; first run vae models accept {model}")
    _set_policy(models, name, Policy(default=version or "latest", loaded=tuple(sorted(set(also or [])))), as_json)


@app.command(cls=Command, epilog=examples("vae models unpin breast-cancer", "vae models unpin breast-cancer --json"))
def unpin(name: Name, models: Models = Path("models"), as_json: AsJson = False, _quiet: Quiet = False) -> None:
    """Return to the latest version, and to loading others only when they are requested."""
    from vaekit.bundle.policy import LATEST

    _folder(models, name, None)
    _set_policy(models, name, LATEST, as_json)


@app.command(
    epilog=examples("vae models accept breast-cancer@2 --dry-run", "vae models accept breast-cancer@2"), cls=Command
)
def accept(
    model: Reference,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="show the comparison, accept nothing", rich_help_panel=OUTPUT)
    ] = False,
    models: Models = Path("models"),
    as_json: AsJson = False,
    _quiet: Quiet = False,
) -> None:
    """Show what a proposed version changes, and make it an ordinary version, which may become the latest."""
    from vaekit.bundle import find
    from vaekit.bundle.models_folder import split_reference
    from vaekit.bundle.proposal import accept, read_proposal
    from vaekit.bundle.read import read_manifest
    from vaekit.cli.options import in_use
    from vaekit.cli.proposals import show, warn

    name, version = split_reference(model)
    if version is None:
        raise InputError(f"{model}: name the version to accept, as in {name}@2")
    _names(models, name)
    folder = find(models, name, version)
    proposal = read_proposal(folder)
    if not dry_run:
        accept(folder)
    if as_json:
        found = {"model": model, "accepted": not dry_run, **proposal.model_dump(mode="json")}
        print_json(found)
    else:
        show(proposal, model)
    warn(proposal)
    if not dry_run:
        (say if as_json else confirm)(in_use(read_manifest(folder), models / name))


@app.command(
    epilog=examples("vae models remove breast-cancer@1", "vae models remove breast-cancer --all-versions"), cls=Command
)
def remove(
    model: Reference,
    all_versions: Annotated[
        bool, typer.Option("--all-versions", help="all versions of the model, and its policy", rich_help_panel=OUTPUT)
    ] = False,
    models: Models = Path("models"),
    as_json: AsJson = False,
    _quiet: Quiet = False,
) -> None:
    """Delete a version; a running service then uses the newest other one."""
    from vaekit.bundle.models_folder import split_reference, versions
    from vaekit.bundle.policy import read_policy
    from vaekit.bundle.write import remove_model, remove_version

    name, version = split_reference(model)
    if (version is None) != all_versions:
        raise InputError(f"{model}: name one version, as {name}@2, or all of them with {name} --all-versions")
    _folder(models, name, version)
    if version is None:
        gone = versions(models, name)
        remove_model(models, name)
    else:
        policy = read_policy(models / name)
        if version == policy.pinned or version in policy.loaded:
            raise InputError(f"{model}: the policy of {name} names this version; first run vae models unpin {name}")
        gone = [version]
        remove_version(models, name, version)
    if as_json:
        print_json({"name": name, "removed": gone, "versions": versions(models, name)})
    else:
        confirm(f"removed {', '.join(f'{name}@{number}' for number in gone)}")


def _names(models: Path, name: str | None) -> list[str]:
    """The models to describe.

    Raises:
        UnknownModel: no such folder, or no model of that name.
    """
    from vaekit.bundle import models as models_in
    from vaekit.bundle.models_folder import no_model

    if not models.is_dir():
        raise UnknownModel(f"{models}: no such folder; name the folder of models with --models")
    known = models_in(models)
    if name is not None and name not in known:
        raise UnknownModel(no_model(name, models))
    return known if name is None else [name]


def _folder(models: Path, name: str, version: int | None) -> Path:
    """The folder of a version, or of a model.

    Raises:
        UnknownModel: there is none; the message lists the existing ones.
    """
    from vaekit.bundle import find, versions

    _names(models, name)
    return models / name if version is None and versions(models, name) else find(models, name, version)


def _verified(models: Path, reference: str | None, device: str) -> Iterator[tuple[str, int, str | None]]:
    """(name, version, why it fails or None) of each version that a reference names."""
    from vaekit.bundle import versions
    from vaekit.bundle.models_folder import split_reference
    from vaekit.runtime import Model

    name, version = (None, None) if reference is None else split_reference(reference)
    for each in _names(models, name):
        if version is not None:
            _folder(models, each, version)
        for number in versions(models, each) if version is None else [version]:
            folder = models / each / str(number)
            try:
                with Model.load(folder, device=device) as model:
                    manifest = model.manifest
                if (manifest.name, manifest.version) != (each, number):
                    raise FormatError(f"{folder}: manifest.json is for {manifest.name}/{manifest.version}")
            except BundleError as exc:
                yield each, number, str(exc)
            else:
                yield each, number, None


def _set_policy(models: Path, name: str, policy: Policy, as_json: bool) -> None:
    from vaekit.bundle.policy import write_policy

    write_policy(models / name, policy)
    found = described(models, name)
    if as_json:
        print_json(found)
        return
    also = f"; in memory besides: {', '.join(map(str, policy.loaded))}" if policy.loaded else ""
    confirm(f"{name} means {name}@{found['version']}, {'the latest' if policy.pinned is None else 'pinned'}{also}")


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    return console
