"""`vae push` and `vae pull`: copy bundles to and from object stores, file systems and the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vaekit.cli.options import AsJson, ModelName, Models, Quiet
from vaekit.cli.output import confirm, print_json, suggest, warn
from vaekit.cli.panels import GENERAL, INPUT, examples

PUSH_EXAMPLES = examples("vae push breast-cancer build/shared", "vae push breast-cancer@1 build/shared --json")
PULL_EXAMPLES = examples(
    "vae pull models/breast-cancer build/pulled", "vae pull models/breast-cancer/1 build/pulled --json"
)


def push(
    model: ModelName,
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL", help="folder of models: s3://, gs://, a path, any URL of fsspec; or hf://owner/name"
        ),
    ],
    models: Models = Path("models"),
    public: Annotated[
        bool,
        typer.Option("--public", help="a new repository of the hub that everybody may read", rich_help_panel=GENERAL),
    ] = False,
    as_json: AsJson = False,
    _quiet: Quiet = False,
) -> None:
    """Verify a bundle and copy it to a store or the Hugging Face hub."""
    from vaekit.bundle.models_folder import bundle_folder, find, split_reference
    from vaekit.storage.push import push

    folder = bundle_folder(Path(model)) if Path(model).is_dir() else find(models, *split_reference(model))
    done = push(folder, url, public=public)
    reference = f"{done.manifest.name}@{done.manifest.version}"
    if done.warning:
        warn(done.warning)
    if as_json:
        facts = {
            "model": reference,
            "url": done.url,
            "revision": done.revision,
            "sha256": done.sha256,
            "new": done.is_new,
        }
        print_json(facts)
        return
    what = (
        f"pushed {reference} to {done.url}, {done.files} files"
        if done.is_new
        else f"{reference} is in {done.url} already"
    )
    confirm(f"{what}\nsha256:{done.sha256}")
    suggest(f"vae pull {done.url} --sha256 {done.sha256}")


def pull(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL", help="bundle, or model with its versions, in a store; or hf://owner/name[@revision]"
        ),
    ],
    models: Annotated[Path, typer.Argument(metavar="MODELS", help="folder of models")] = Path("models"),
    into: Annotated[
        Path | None,
        typer.Option("--models", help="folder of models, as in other commands; default: MODELS", rich_help_panel=INPUT),
    ] = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="version of the model; default: the latest", rich_help_panel=INPUT)
    ] = None,
    sha256: Annotated[
        str | None,
        typer.Option(
            help="sha256 that `vae push` printed; another bundle is refused; default: any", rich_help_panel=INPUT
        ),
    ] = None,
    as_json: AsJson = False,
    _quiet: Quiet = False,
) -> None:
    """Copy a bundle from a store or the Hugging Face hub to models/NAME/VERSION, and verify it."""
    from vaekit.storage.pull import pull

    models = into or models
    done = pull(url, models, version=version, sha256=sha256)
    reference = f"{done.manifest.name}@{done.manifest.version}"
    if done.warning:
        warn(done.warning)
    if as_json:
        facts = {"model": reference, "folder": str(done.folder), "sha256": done.sha256, "new": done.is_new}
        print_json(facts)
        return
    what = f"pulled {reference} to {done.folder}" if done.is_new else f"{reference} is in {done.folder} already"
    confirm(f"{what}\nsha256:{done.sha256}")
    suggest(f"vae score {reference} ROWS.csv scored.csv --models {models}")
