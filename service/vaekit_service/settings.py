"""The settings of the service, from the environment (VAE_...) or flags. No other file reads the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import SettingsConfigDict

from vaekit.bundle.manifest import Precision
from vaekit.bundle.policy import Policy
from vaekit.errors import ConfigError
from vaekit.runtime.device import Cuda
from vaekit_service.monitoring_settings import MonitoringSettings
from vaekit_service.platform_settings import PlatformSettings, settings_of
from vaekit_service.score_log_settings import ScoreLogSettings
from vaekit_service.setting_lists import names, pairs, path_or_url, policies_of

# kinds of access that VAE_PUBLIC may name; see http/access.py
PUBLIC = ("probes", "metrics", "docs", "read", "infer", "platform")

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Settings(PlatformSettings, ScoreLogSettings, MonitoringSettings):
    """The settings of one service. Each field is VAE_<NAME> in the environment.

    Settings are frozen, so that they cannot change while an app runs.
    """

    model_config = SettingsConfigDict(env_prefix="VAE_", env_ignore_empty=True, frozen=True, extra="forbid")

    models: Annotated[Path | str, BeforeValidator(path_or_url)] = Field(
        Path("models"), description="folder of bundles, models/<name>/<version>/, or its URL: s3://, gs://, hf://, ..."
    )
    cache: Path = Field(Path("~/.cache/vaekit"), description="folder of the copies of models that have a URL")
    host: str = Field(
        "127.0.0.1",
        description="address to listen on; without keys, any other than loopback is an error unless "
        "VAE_ALLOW_ANONYMOUS is true",
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8000, description="port to listen on; 0: any free one")

    keys_file: Path | None = Field(
        None, description="file of keys, as `vae keys new` writes it; read again when it changes; none: see VAE_KEYS"
    )
    keys: SecretStr | None = Field(
        None, description="the text of such a file, in place of one; none, without a file: no key is needed"
    )
    allow_anonymous: bool = Field(
        False, description="serve without keys on any address; without effect if there are keys"
    )
    public: str = Field(
        "probes",
        description="what needs no key, separated by commas: probes (/healthz, /readyz), metrics, docs (/docs, "
        "/openapi.json), read (/models), infer, platform (the paths of VAE_PLATFORM); or nothing; with VAE_PLATFORM "
        "platform too by default",
    )
    page: bool = Field(
        True,
        description="the page at /; its files hold no data and need no key, unless VAE_PUBLIC is nothing; what it "
        "shows needs the keys of the routes that it calls",
    )
    rate_limit: str | None = Field(
        None, description="requests of each key per time, such as 600/minute, in each process; none: no limit"
    )
    allowed_hosts: str | None = Field(
        None,
        description="host names that requests may use, separated by commas: example.com, *.example.com for its "
        "subdomains, * for any; none: any, but on loopback without keys only localhost, 127.0.0.1 and [::1]",
    )
    cors_origins: str | None = Field(
        None,
        description="web pages whose scripts may use the service, separated by commas, such as https://example.com; "
        "none: CORS is off",
    )
    admin: bool = Field(False, description="routes under /admin, for keys of scope admin")

    device: str = Field(
        "auto",
        description="auto, cpu, cuda or cuda:<index>; with cuda, start-up fails if no GPU is available; it never falls"
        " back to the CPU",
    )
    threads: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="threads that share one call of a graph on a CPU; none: one per core available to this process, at"
        " most 8",
    )
    max_threads: Annotated[int, Field(ge=0)] = Field(
        512,
        description="threads that all graphs of the process may have together; a model that is loaded beyond it, or "
        "beyond the limit of its control group (`docker run --pids-limit`) or user (`ulimit -u`), uses fewer per call",
    )
    gpu_memory_bytes: Annotated[int, Field(ge=1)] | None = Field(
        None, description="largest GPU memory of the arena of one graph; none: no limit"
    )
    cuda_graphs: bool = Field(
        False, description="record the calls of each graph as CUDA graphs while a model loads; an error without CUDA"
    )
    precision: Precision = Field(
        "float32",
        description="precision of the networks, float32 or float16; float16 is for GPUs and needs models trained with "
        "export.half = true",
    )
    model: str | None = Field(
        None,
        description="bundles to serve under a given name, NAME=PATH, separated by commas; PATH is the folder or the "
        "URL of one bundle, or of a model with its versions; without VAE_MODELS only these are served",
    )
    poll_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        5.0, description="seconds between two looks at the models folder for new versions; SIGHUP makes one at once"
    )
    pins: str | None = Field(
        None,
        description="versions that are used if a request names none, NAME=VERSION, separated by commas; they hold "
        "instead of the policy.json that `vae models pin` writes; NAME=latest+2 also keeps version 2 in memory",
    )
    default_model: str | None = Field(
        None, description="model behind /encode, /decode, /sample and /elbo; none: the only model"
    )
    max_old_versions: Annotated[int, Field(ge=1)] = Field(
        4,
        description="number of versions besides the latest that stay loaded; the least recently used one is unloaded "
        "first",
    )
    alpha: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.05, description="false-alarm rate of is_anomaly if a request names none"
    )

    max_body_bytes: Annotated[int, Field(ge=1)] = Field(
        32 * 2**20, description="largest request body: 10,000 rows of 100 columns as JSON, with room to spare"
    )
    max_inflight_bytes: Annotated[int, Field(ge=1)] = Field(
        128 * 2**20,
        description="request bodies and replies held at once; beyond it a request gets a 429, unless it is the only "
        "one",
    )
    worker_bytes: Annotated[int, Field(ge=2**26)] = Field(
        2**30, description="memory of the process for large JSON, above its 60 MiB when idle; beyond it a 413"
    )
    max_rows: Annotated[int, Field(ge=1)] = Field(
        10_000, description="rows, latents or samples per request; use `vae score` for files with more"
    )
    max_cells: Annotated[int, Field(ge=1)] = Field(
        2**22,
        description="N x D of one request or reply, also for latents and levels: 32 MiB as float64, about 80 MB as "
        "JSON",
    )
    max_work: Annotated[int, Field(ge=1)] = Field(
        2**27,
        description="N x K x D of one /elbo request, per member of the model; with explain, K counts the draws of all "
        "passes; the default is a few seconds of one device",
    )
    max_batch_rows: Annotated[int, Field(ge=1)] = Field(
        512,
        description="largest number of rows of one batch on the device: larger requests are cut so that they do not "
        "delay others; batches of wide models or many draws are smaller",
    )
    max_queue_rows: Annotated[int, Field(ge=1)] = Field(
        32_768,
        description="rows that may wait for the device; beyond it a request is refused at once with 429",
    )
    queue_timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        20.0,
        description="seconds that a request may wait until the device starts it; after that it is dropped with a 504",
    )

    max_connections: Annotated[int, Field(ge=1)] = Field(
        1_000,
        description="connections open at the same time, at most as many as the limit of open files allows; further "
        "ones get a 503",
    )
    max_head_bytes: Annotated[int, Field(ge=1024)] = Field(
        32 * 1024,
        description="largest size of the headers, and of the trailers, which may be 100 each; beyond it a 431; a "
        "quarter of it for path and query, beyond it a 414",
    )
    head_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        10.0, description="seconds in which a caller must send the headers of a request; after that it gets a 408"
    )
    body_seconds: Seconds = Field(30.0, description="seconds in which a caller must send its body")
    stream_seconds: Seconds = Field(
        300.0, description="seconds between two pieces of a CSV or NDJSON body that is answered while it arrives"
    )
    answer_seconds: Seconds = Field(60.0, description="seconds that a request may take; after that it gets a 504")
    reply_seconds: Seconds = Field(
        60.0, description="seconds in which a caller must read its reply; after that its connection is cut off"
    )
    stuck_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        120.0,
        description="seconds that the device may take for one call, or leave work waiting; after that /healthz answers "
        "503 until the call ends",
    )
    drain_seconds: Seconds = Field(
        1.0, description="after SIGTERM: seconds during which new requests are still accepted while /readyz answers 503"
    )
    shutdown_seconds: Annotated[int, Field(ge=0)] = Field(
        30, description="after that: seconds that requests in flight may take before they are cut off"
    )
    keep_alive_seconds: Annotated[int, Field(ge=0)] = Field(
        75,
        description="seconds that an idle connection stays open; above the 60 s of common proxies, so that they close "
        "first",
    )

    @field_validator("public")
    @classmethod
    def _known(cls, public: str) -> str:
        if unknown := names(public) - {*PUBLIC, "nothing"}:
            raise ValueError(f"{sorted(unknown)[0]!r} is none of {', '.join(PUBLIC)} and nothing")
        return public

    @property
    def public_access(self) -> frozenset[str]:
        """The kinds of access that need no key. The files of the page never do, unless nothing is public."""
        public = names(self.public)
        return frozenset(public if "nothing" in public else {*public, "page"})

    @property
    def public_paths(self) -> tuple[str, ...]:
        """The paths of the platform, which need no key, unless VAE_PUBLIC leaves platform out."""
        is_public = "public" not in self.model_fields_set or "platform" in names(self.public)
        return self.platform_paths if is_public else ()

    @property
    def key_source(self) -> Path | str | None:
        """The file or the text of the keys; None: the service has no keys.

        Raises:
            ConfigError: both are set.
        """
        if self.keys is not None and self.keys_file is not None:
            raise ConfigError("VAE_KEYS and VAE_KEYS_FILE are set; unset one")
        return self.keys_file if self.keys is None else self.keys.get_secret_value()

    @field_validator("model")
    @classmethod
    def _check_model(cls, given: str | None) -> str | None:
        pairs(given, "PATH")
        return given

    @field_validator("pins")
    @classmethod
    def _check_pins(cls, given: str | None) -> str | None:
        policies_of(given)
        return given

    @property
    def models_root(self) -> Path | str | None:
        """The models folder or its URL; None if only bundles under given names are served."""
        return None if self.model and ("models" not in self.model_fields_set or self.platform) else self.models

    @property
    def named_bundles(self) -> dict[str, Path | str]:
        """The folders or URLs of the bundles that are served under a given name."""
        return {name: path_or_url(path) for name, path in pairs(self.model, "PATH").items()}

    @property
    def policies(self) -> dict[str, Policy]:
        """The policies that hold instead of those in the folders of models."""
        return policies_of(self.pins)

    @property
    def cuda(self) -> Cuda:
        """The settings that apply to CUDA devices."""
        return Cuda(memory_bytes=self.gpu_memory_bytes, graphs=self.cuda_graphs)


def load(**given: Any) -> Settings:
    """Settings from the environment, overridden by the arguments that are not None.

    Raises:
        ConfigError: a value is invalid; the message names the setting and the value. Or a platform has not set one of
            its variables.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    platform = chosen.get("platform") or os.environ.get("VAE_PLATFORM") or None
    try:
        return Settings(**{**settings_of(platform, os.environ), **chosen})
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        name = "_".join(map(str, first["loc"]))
        variable = name if name.upper().startswith("VAE_") else f"VAE_{name}"
        raise ConfigError(f"{variable.upper()}={first['input']!r}: {first['msg']}") from exc
