"""`vae serve`: starts the service with settings from options and the environment."""

from __future__ import annotations

import json
import re
from pathlib import Path

from vaekit.cli import serve_options as opt
from vaekit.cli.options import AsJson, Quiet
from vaekit.cli.output import is_quiet
from vaekit.cli.panels import examples

EXAMPLES = examples(
    "vae serve --models models --port 8000 --device cpu --log-format json",
    "vae serve --model cancer=models/breast-cancer/1",
    note="docs/reference/service.md lists further settings, which have an environment variable only.",
)


def serve(
    models: opt.Models = None,
    cache: opt.Cache = None,
    model: opt.Model = None,
    host: opt.Host = None,
    port: opt.Port = None,
    keys_file: opt.KeysFile = None,
    allow_anonymous: opt.AllowAnonymous = None,
    device: opt.Device = None,
    threads: opt.Threads = None,
    precision: opt.Precision = None,
    default_model: opt.DefaultModel = None,
    alpha: opt.Alpha = None,
    log_format: opt.LogFormat = None,
    log_level: opt.LogLevel = None,
    platform: opt.Platform = None,
    model_name: opt.ModelName = None,
    model_dir: opt.ModelDir = Path("/mnt/models"),
    http_port: opt.HttpPort = None,
    as_json: AsJson = False,
    _quiet: Quiet = False,
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
    run(settings, _print_url if as_json else _print_line)


def _print_line(line: str) -> None:
    if not is_quiet():
        print(line, flush=True)  # not printed with rich, which would wrap and colour lines that users copy


def _print_url(line: str) -> None:
    """Print the address as JSON, once, as soon as the service listens there."""
    if found := re.match(r"listening on (\S+)", line):
        print(json.dumps({"url": found[1]}), flush=True)
