"""The options of `vae serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vaekit.cli.panels import ADDRESS, DEVICE, INPUT, KEYS, LOG, PLATFORM, SCORING

Models = Annotated[
    str | None,
    typer.Option(
        metavar="PATH|URL",
        help="folder of models, or its URL: s3://, gs://, hf://, any of fsspec; default: VAE_MODELS, else models",
        rich_help_panel=INPUT,
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        help="folder of the copies of models that have a URL; default: VAE_CACHE, else ~/.cache/vaekit",
        rich_help_panel=INPUT,
    ),
]
Model = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=PATH",
        help="bundle to serve under a given name; repeatable; without --models only these are served; default: "
        "VAE_MODEL",
        rich_help_panel=INPUT,
    ),
]
Host = Annotated[
    str | None,
    typer.Option(help="address to listen on; default: VAE_HOST, else 127.0.0.1", rich_help_panel=ADDRESS),
]
Port = Annotated[
    int | None,
    typer.Option(help="port to listen on; 0: any free port; default: VAE_PORT, else 8000", rich_help_panel=ADDRESS),
]
KeysFile = Annotated[
    Path | None,
    typer.Option(
        help="file of the keys that callers need, as `vae keys new` writes it; default: VAE_KEYS_FILE, else "
        "VAE_KEYS, else no keys",
        rich_help_panel=KEYS,
    ),
]
AllowAnonymous = Annotated[
    bool | None,
    typer.Option(
        "--allow-anonymous",
        help="permission to serve without keys on an address that other machines can reach; default: "
        "VAE_ALLOW_ANONYMOUS, else off",
        rich_help_panel=KEYS,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="device of the models: auto, cpu, cuda or cuda:<index>; default: VAE_DEVICE, else auto",
        rich_help_panel=DEVICE,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        help="threads per call on a CPU; default: VAE_THREADS, else one per core, at most 8", rich_help_panel=DEVICE
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        help="precision of the networks: float32, or float16 if the models have it; default: VAE_PRECISION, "
        "else float32",
        rich_help_panel=DEVICE,
    ),
]
DefaultModel = Annotated[
    str | None,
    typer.Option(
        help="model behind /encode, /decode, /sample and /elbo; default: VAE_DEFAULT_MODEL, else the only model",
        rich_help_panel=INPUT,
    ),
]
Alpha = Annotated[
    float | None,
    typer.Option(
        help="false-alarm rate of is_anomaly, a share of normal rows; default: VAE_ALPHA, else 0.05",
        rich_help_panel=SCORING,
    ),
]
LogFormat = Annotated[
    str | None,
    typer.Option(help="format of the log: console or json; default: VAE_LOG_FORMAT, else console", rich_help_panel=LOG),
]
LogLevel = Annotated[
    str | None,
    typer.Option(
        help="lowest level in the log: debug, info, warning or error; default: VAE_LOG_LEVEL, else info",
        rich_help_panel=LOG,
    ),
]
Platform = Annotated[
    str | None,
    typer.Option(
        help="cloud platform that runs the service: kserve, sagemaker or vertex; default: kserve if there is a "
        "--model_name, else VAE_PLATFORM, else none",
        rich_help_panel=PLATFORM,
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model_name",
        help="name of the model in --model_dir, as KServe passes it; default: none",
        rich_help_panel=PLATFORM,
    ),
]
ModelDir = Annotated[
    Path,
    typer.Option("--model_dir", help="folder of one bundle, or of a model with its versions", rich_help_panel=PLATFORM),
]
HttpPort = Annotated[
    int | None,
    typer.Option("--http_port", help="port to listen on; default: that of --port", rich_help_panel=PLATFORM),
]
