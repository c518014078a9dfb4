"""`vae mlflow`: logs a bundle to an MLflow server."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from vaekit.cli.options import AsJson, ModelName, Models, Quiet
from vaekit.cli.output import confirm, print_json
from vaekit.cli.panels import GENERAL, OUTPUT, examples

EXAMPLES = examples(
    "vae mlflow breast-cancer --uri http://127.0.0.1:5000 --experiment tumours",
    "vae mlflow models/breast-cancer/1 --uri http://127.0.0.1:5000 --register cancer",
)


def mlflow(
    model: ModelName,
    models: Models = Path("models"),
    uri: Annotated[
        str | None,
        typer.Option(help="address of the MLflow server; default: MLFLOW_TRACKING_URI", rich_help_panel=OUTPUT),
    ] = None,
    experiment: Annotated[
        str | None, typer.Option(help="experiment of the run; default: MLflow's", rich_help_panel=GENERAL)
    ] = None,
    register: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="name in the registry, which gets a new version; default: none",
            rich_help_panel=GENERAL,
        ),
    ] = None,
    as_json: AsJson = False,
    _quiet: Quiet = False,
) -> None:
    """Log a bundle to MLflow as a run: params, metrics, report, and the model in the pyfunc flavour."""
    from vaekit.bundle.models_folder import find, split_reference
    from vaekit.mlflow import log_run, set_tracking

    folder = Path(model) if Path(model).is_dir() else find(models, *split_reference(model))
    with redirect_stdout(sys.stderr):  # MLflow prints the addresses of its pages
        set_tracking(uri)
        run, logged = log_run(folder, experiment=experiment, registered_model_name=register)
    if as_json:
        print_json({"run": run, "model": logged})
    else:
        confirm(f"run {run}\nmodel {logged}")
