"""A proposed version: complete and usable by its number, but never the latest until an operator accepts it.

A version is proposed while its folder has proposal.json. The file is written before the folder gets its number, so no
reader ever sees the version without it. Accepting renames the file, in one step.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt, ValidationError

from vaekit.bundle.disk import writing
from vaekit.bundle.manifest_part import ManifestPart
from vaekit.errors import FormatError

PROPOSAL_FILE, ACCEPTED_FILE = "proposal.json", "accepted.json"


class AlphaComparison(ManifestPart):
    """The threshold at one alpha before and after, and what the old one makes of the new calibration rows."""

    alpha: FiniteFloat
    before: FiniteFloat | None = Field(description="score threshold of the version before, nats; null: none")
    after: FiniteFloat | None = Field(description="score threshold of the proposed version, nats; null: none")
    flagged: NonNegativeInt | None = Field(
        description="new calibration rows that the version before flags at this alpha; null: it has no calibration"
    )
    rate_low: FiniteFloat | None = Field(description="exact 95 % interval of that rate")
    rate_high: FiniteFloat | None


class Comparison(ManifestPart):
    """One calibration before and after."""

    num_samples: PositiveInt
    precision: str
    n_before: NonNegativeInt = Field(description="held-out rows of the version before")
    n_after: PositiveInt = Field(description="held-out rows of the proposed version")
    alphas: tuple[AlphaComparison, ...]


class Proposal(ManifestPart):
    """proposal.json: what an operator compares before accepting."""

    parent: str = Field(description="name@version of the version before")
    comparisons: tuple[Comparison, ...]
    warnings: tuple[str, ...] = Field((), description="what may be wrong with the new calibration rows")

    def to_json(self) -> bytes:
        return self.model_dump_json(indent=2).encode() + b"\n"


def is_proposed(folder: Path) -> bool:
    """Whether a version waits for an operator. One whose folder cannot be read does not; loading it gives the error."""
    try:
        (folder / PROPOSAL_FILE).lstat()
    except OSError:
        return False
    return True


def read_proposal(folder: Path) -> Proposal:
    """The proposal of a version's folder.

    Raises:
        FormatError: the version is not proposed, or the file cannot be read.
    """
    path = folder / PROPOSAL_FILE
    try:
        return Proposal.model_validate_json(path.read_bytes())
    except FileNotFoundError as exc:
        raise FormatError(f"{folder}: this version is not proposed, so there is nothing to accept") from exc
    except OSError as exc:
        raise FormatError(f"{path}: cannot be read: {exc.strerror}") from exc
    except ValidationError as exc:
        raise FormatError(f"{path}: {exc.errors()[0]['msg']}") from exc


def accept(folder: Path) -> None:
    """Make a proposed version an ordinary one; its comparison is kept as accepted.json.

    Raises:
        StorageError: the folder cannot be written; the version stays proposed.
    """
    with writing(folder):
        (folder / PROPOSAL_FILE).rename(folder / ACCEPTED_FILE)
