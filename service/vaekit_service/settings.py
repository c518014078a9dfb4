"""Every setting of the service, by environment (VAE_...) or by flag. The one place that reads the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from vaekit.bundle.manifest import Precision
from vaekit.errors import ConfigError
from vaekit.runtime.device import Cuda

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Settings(BaseSettings):
    """Frozen, so that an app cannot change under its own requests. Each field is VAE_<NAME> in the environment."""

    model_config = SettingsConfigDict(env_prefix="VAE_", env_ignore_empty=True, frozen=True, extra="forbid")

    models: Path = Field(Path("models"), description="folder of bundles, models/<name>/<version>/")
    host: str = Field("127.0.0.1", description="address to listen on; loopback, since the service asks for no key")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8000, description="port to listen on; 0: any free one")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:<index>; cuda by name is never answered by a CPU")
    threads: Annotated[int, Field(ge=1)] | None = Field(
        None, description="threads of one call of a graph on a CPU; none: one per core this process may use, 8 at most"
    )
    gpu_memory_bytes: Annotated[int, Field(ge=1)] | None = Field(
        None, description="GPU memory that the arena of one graph may take, at most; none: what there is"
    )
    cuda_graphs: bool = Field(
        False, description="record the calls of each graph as CUDA graphs while a model loads; an error without CUDA"
    )
    precision: Precision = Field(
        "float32",
        description="of the networks, float32 or float16; float16 is for cards, and takes models trained with "
        "export.half = true",
    )
    default_model: str | None = Field(
        None, description="the model of /encode, /decode, /sample, /elbo; none: the only one there is"
    )
    max_old_versions: Annotated[int, Field(ge=1)] = Field(
        4, description="versions other than the latest that stay loaded; the one unused for longest leaves first"
    )
    alpha: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.05, description="false-alarm rate of is_anomaly where a request names none"
    )

    max_body_bytes: Annotated[int, Field(ge=1)] = Field(
        32 * 2**20, description="largest request body: 10,000 rows of 100 columns as JSON, with room to spare"
    )
    max_inflight_bytes: Annotated[int, Field(ge=1)] = Field(
        128 * 2**20,
        description="bodies and replies held at once; beyond it requests get a 429, but a lone one",
    )
    max_rows: Annotated[int, Field(ge=1)] = Field(
        10_000, description="rows, codes or samples of one request; files of more go through `vae score`"
    )
    max_cells: Annotated[int, Field(ge=1)] = Field(
        2**22,
        description="N x D of one request or reply, of codes and levels too: 32 MiB as float64, some 80 MB as JSON",
    )
    max_work: Annotated[int, Field(ge=1)] = Field(
        2**27,
        description="N x K x D of one /elbo, for each member of the model, K with explain all the draws it takes: "
        "a few seconds of one device, so that no request holds it for long",
    )
    max_batch_rows: Annotated[int, Field(ge=1)] = Field(
        512,
        description="rows of one batch on the device, at most: larger requests are cut, so that none holds up the "
        "others for longer; wide models and many draws make smaller ones anyhow",
    )
    max_queue_rows: Annotated[int, Field(ge=1)] = Field(
        32_768,
        description="rows that wait for the device; beyond it a request is refused at once with 429, since it would "
        "only wait",
    )
    queue_timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        20.0,
        description="seconds that a request may wait for the device to begin with it; then a 504, and it is not run",
    )

    body_seconds: Seconds = Field(30.0, description="time a caller has to send its body")
    answer_seconds: Seconds = Field(60.0, description="time a request may wait for its answer before it gets a 504")
    reply_seconds: Seconds = Field(
        60.0, description="time a caller has to take its reply before its connection is cut off"
    )
    drain_seconds: Seconds = Field(
        1.0, description="after SIGTERM: how long new requests are still taken while /readyz says 503"
    )
    shutdown_seconds: Annotated[int, Field(ge=0)] = Field(
        30, description="after that: how long requests in flight may take before they are cut off"
    )
    keep_alive_seconds: Annotated[int, Field(ge=0)] = Field(
        75, description="how long an idle connection stays; above the 60 s of common proxies, so that they close first"
    )

    log_format: Literal["console", "json"] = Field("console", description="lines for people, or for a collector")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug also shows the requests of probes and scrapes"
    )

    @property
    def cuda(self) -> Cuda:
        """What holds on a CUDA device."""
        return Cuda(memory_bytes=self.gpu_memory_bytes, graphs=self.cuda_graphs)


def load(**given: Any) -> Settings:
    """Settings from the environment, with what is given (and not None) in their place.

    Raises:
        ConfigError: a value that is refused; the message names the setting and the value.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        name = "_".join(map(str, first["loc"]))
        variable = name if name.upper().startswith("VAE_") else f"VAE_{name}"
        raise ConfigError(f"{variable.upper()}: {first['msg']}: {first['input']!r}") from exc
