"""The settings of the score log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings


class ScoreLogSettings(BaseSettings):
    """The part of the settings that is for the score log."""

    score_log: Path | None = Field(
        None,
        description="folder of the score log: Parquet files with one row for each scored row of /elbo; replicas may "
        "share it; needs the extra `arrow`; none: no score log",
    )
    score_log_payloads: bool = Field(
        False, description="also write the rows themselves to the score log, in its column `input`"
    )
    score_log_file_bytes: Annotated[int, Field(ge=2**16)] = Field(
        64 * 2**20, description="size of the rows, before compression, at which a file of the score log is finished"
    )
    score_log_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        300.0, description="seconds after which a file of the score log is finished"
    )
    score_log_max_bytes: Annotated[int, Field(ge=2**20)] = Field(
        10 * 2**30, description="size of all files of the score log; beyond it the oldest are removed"
    )
