"""Reads and writes which versions of a model are used: models/<name>/policy.json."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vaekit.bundle.disk import writing
from vaekit.errors import FormatError

POLICY_FILE = "policy.json"

Number = Annotated[int, Field(ge=1, lt=10**9)]


class Policy(BaseModel):
    """Which version of a model is used if none is named, and which others the service keeps in memory."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    default: Number | Literal["latest"] = Field("latest", description="the version that is used if none is named")
    loaded: tuple[Number, ...] = Field((), description="versions that the service keeps in memory besides")

    @property
    def pinned(self) -> int | None:
        """The version that is used if none is named; None: the latest."""
        return None if self.default == "latest" else self.default


LATEST = Policy()


def read_policy(model_folder: Path) -> Policy:
    """The policy of a model; LATEST if it has none.

    Raises:
        FormatError: the file cannot be read, or is not a policy.
    """
    path = model_folder / POLICY_FILE
    try:
        return Policy.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return LATEST
    except OSError as exc:
        raise FormatError(f"{path}: cannot be read: {exc.strerror}") from exc
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(map(str, first["loc"])) or "content"
        raise FormatError(f"{path}: {where}: {first['msg']}; write it with vae models pin") from exc


def write_policy(model_folder: Path, policy: Policy) -> None:
    """Write the policy of a model completely or not at all; LATEST removes the file.

    Raises:
        StorageError: the folder cannot be written; the policy before it holds.
    """
    path = model_folder / POLICY_FILE
    with writing(path, "on a read-only folder, set VAE_PINS for the service"):
        if policy == LATEST:
            path.unlink(missing_ok=True)
            return
        with NamedTemporaryFile("wb", prefix=f".{POLICY_FILE}-", dir=model_folder, delete=False) as file:
            temp = Path(file.name)
            try:
                file.write(policy.model_dump_json().encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
                temp.chmod(0o644)
                temp.replace(path)
            except BaseException:
                with suppress(OSError):
                    temp.unlink()
                raise
