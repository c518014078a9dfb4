"""`vae serve`: starts the service with settings from options and the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vaekit.cli.panels import ADDRESS, DEVICE, INPUT, KEYS, LOG, PLATFORM, SCORING, examples

EXAMPLES = examples(
    "vae serve --models models --port 8000 --device cpu --log-format json",
    "vae serve --model cancer=models/breast-cancer/1",
    note="docs/reference/service.md lists further settings, which have an environment variable only.",
)


def serve(
    models: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|URL",
            help="folder of models, or its URL: s3://, gs://, hf://, any of fsspec; default: VAE_MODELS, else models",
            rich_help_panel=INPUT,
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="folder of the copies of models that have a URL; default: VAE_CACHE, else ~/.cache/vaekit",
            rich_help_panel=INPUT,
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PATH",
            help="bundle to serve under a given name; repeatable; without --models only these are served; default: "
            "VAE_MODEL",
            rich_help_panel=INPUT,
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(help="address to listen on; default: VAE_HOST, else 127.0.0.1", rich_help_panel=ADDRESS),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help="port to listen on; 0: any free port; default: VAE_PORT, else 8000", rich_help_panel=ADDRESS),
    ] = None,
    keys_file: Annotated[
        Path | None,
        typer.Option(
            help="file of the keys that callers need, as `vae keys new` writes it; default: VAE_KEYS_FILE, else "
            "VAE_KEYS, else no keys",
            rich_help_panel=KEYS,
        ),
    ] = None,
    allow_anonymous: Annotated[
        bool | None,
        typer.Option(
            "--allow-anonymous",
            help="permission to serve without keys on an address that other machines can reach; default: "
            "VAE_ALLOW_ANONYMOUS, else off",
            rich_help_panel=KEYS,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="device of the models: auto, cpu, cuda or cuda:<index>; default: VAE_DEVICE, else auto",
            rich_help_panel=DEVICE,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            help="threads per call on a CPU; default: VAE_THREADS, else one per core, at most 8", rich_help_panel=DEVICE
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="precision of the networks: float32, or float16 if the models have it; default: VAE_PRECISION, "
            "else float32",
            rich_help_panel=DEVICE,
        ),
    ] = None,
    default_model: Annotated[
        str | None,
        typer.Option(
            help="model behind /encode, /decode, /sample and /elbo; default: VAE_DEFAULT_MODEL, else the only model",
            rich_help_panel=INPUT,
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            help="false-alarm rate of is_anomaly, a share of normal rows; default: VAE_ALPHA, else 0.05",
            rich_help_panel=SCORING,
        ),
    ] = None,
    log_format: Annotated[
        str | None,
        typer.Option(
            help="format of the log: console or json; default: VAE_LOG_FORMAT, else console", rich_help_panel=LOG
        ),
    ] = None,
    log_level: Annotated[
        str | None,
        typer.Option(
            help="lowest level in the log: debug, info, warning or error; default: VAE_LOG_LEVEL, else info",
            rich_help_panel=LOG,
        ),
    ] = None,
    platform: Annotated[
        str | None,
        typer.Option(
            help="cloud platform that runs the service: kserve, sagemaker or vertex; default: kserve if there is a "
            "--model_name, else VAE_PLATFORM, else none",
            rich_help_panel=PLATFORM,
        ),
    ] = None,
    model_name: Annotated[
        str | None,
        typer.Option(
            "--model_name",
            help="name of the model in --model_dir, as KServe passes it; default: none",
            rich_help_panel=PLATFORM,
        ),
    ] = None,
    model_dir: Annotated[
        Path,
        typer.Option(
            "--model_dir", help="folder of one bundle, or of a model with its versions", rich_help_panel=PLATFORM
        ),
    ] = Path("/mnt/models"),
    http_port: Annotated[
        int | None,
        typer.Option("--http_port", help="port to listen on; default: that of --port", rich_help_panel=PLATFORM),
    ] = None,
) -> None:
    """Serve the models of a folder over HTTP."""
    from vaekit_service.server import serve as run
    from vaekit_service.settings import load

    if model_name is not None:
        model = [*(model or []), f"{model_name}={model_dir}"]
        platform = platform or "kserve"
    settings = load(
        platform=platform,
        models=models,
        cache=cache,
        model=",".join(model) if model else None,
        host=host,
        port=http_port if port is None else port,
        keys_file=keys_file,
        allow_anonymous=allow_anonymous,
        device=device,
        threads=threads,
        precision=precision,
        default_model=default_model,
        alpha=alpha,
        log_format=log_format,
        log_level=log_level,
    )
    run(settings, _print_line)


def _print_line(line: str) -> None:
    print(line, flush=True)  # not printed with rich, which would wrap and colour lines that users copy
