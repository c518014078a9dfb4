"""`vae serve`: starts the service with settings from flags."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def serve(
    models: Annotated[Path | None, typer.Option(help="Folder of bundles. [VAE_MODELS; models]")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [VAE_HOST; 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes any free one. [VAE_PORT; 8000]")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:<index>. [VAE_DEVICE; auto]")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of one call. [VAE_THREADS; one per core]")] = None,
    precision: Annotated[
        str | None, typer.Option(help="float32, or float16 for models that have it. [VAE_PRECISION; float32]")
    ] = None,
    default_model: Annotated[
        str | None, typer.Option(help="Model of /encode, /decode, /sample, /elbo. [VAE_DEFAULT_MODEL; the only one]")
    ] = None,
    alpha: Annotated[float | None, typer.Option(help="False-alarm rate of is_anomaly. [VAE_ALPHA; 0.05]")] = None,
    log_format: Annotated[str | None, typer.Option(help="console or json. [VAE_LOG_FORMAT; console]")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error. [VAE_LOG_LEVEL; info]")] = None,
) -> None:
    """Serve the models of a folder over HTTP.

    Each flag can be set in the environment instead, by the name in its help. docs/reference/service.md lists the
    settings without a flag.
    """
    from vaekit_service.server import serve as run
    from vaekit_service.settings import load

    settings = load(
        models=models,
        host=host,
        port=port,
        device=device,
        threads=threads,
        precision=precision,
        default_model=default_model,
        alpha=alpha,
        log_format=log_format,
        log_level=log_level,
    )
    run(settings, _tell)


def _tell(line: str) -> None:
    print(line, flush=True)  # as it is: rich would break and colour a line that is meant to be copied
