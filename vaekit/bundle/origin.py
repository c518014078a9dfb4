"""Where a version was pulled from: origin.json beside its manifest. It is not signed, and no reader needs it."""

from __future__ import annotations

from pathlib import Path

from pydantic import AwareDatetime, Field, ValidationError

from vaekit.bundle.manifest_part import ManifestPart

ORIGIN_FILE = "origin.json"


class Origin(ManifestPart):
    """Where a version came from. Its manifest says how it was made."""

    url: str = Field(description="of the bundle's folder, without credentials")
    revision: str | None = Field(None, description="commit of a hub's repository; null for stores, which have none")
    sha256: str = Field(description="of manifest.json, which has the sha256 of every signed file")
    pulled: AwareDatetime
    vaekit: str = Field(description="version of vaekit that pulled it")

    def to_json(self) -> bytes:
        return self.model_dump_json(indent=2).encode() + b"\n"


def read_origin(folder: Path) -> Origin | None:
    """Where the version in a folder was pulled from; None: it was made here, or the file cannot be read."""
    try:
        return Origin.model_validate_json((folder / ORIGIN_FILE).read_bytes())
    except (OSError, ValidationError):
        return None
