"""The requests as pydantic models: options, and rows in all their JSON forms."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, FailFast, Field, FiniteFloat, NonNegativeFloat, Tag

from vaekit.tolerance_rules import ToleranceRule

MAX_EXPLAINED = 64  # cells per row; for more, request the log-likelihoods of all features
MAX_SEED = 2**53 - 1  # the largest integer that JSON numbers hold exactly in every language

Numbers = Annotated[list[FiniteFloat], FailFast()]
Cell = FiniteFloat | int | bool | str | None  # a cell of a table; an int keeps all its digits
TableCells = Annotated[list[Cell], FailFast()]
Table = Annotated[list[TableCells], FailFast(), Field(min_length=1)]
Value = Cell | list[Any] | dict[str, Any]  # of a row by name; lists and objects are only for ignored columns
Objects = Annotated[list[Annotated[dict[str, Value], FailFast()]], FailFast(), Field(min_length=1)]
TableObjects = Objects
Pixel = Annotated[int, Field(ge=0, le=255)]
PixelRow = Annotated[list[Annotated[list[Pixel], FailFast()]], FailFast()]
Images = Annotated[list[Annotated[list[PixelRow], FailFast()]], FailFast(), Field(min_length=1)]
EncodedImages = Annotated[
    list[Annotated[str, Field(description="base64 of a PNG or JPEG of the model's size")]],
    FailFast(),
    Field(min_length=1),
]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
LONGEST_ID = 128  # characters
RowId = Annotated[str, Field(min_length=1, max_length=LONGEST_ID)] | Annotated[int, Field(ge=-(2**63), lt=2**63)] | None


class Request(BaseModel):
    """Base of all requests. Strict: no strings as numbers, no unknown fields, only finite numbers."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class RowOptions(Request):
    """Options of every operation that takes rows."""

    strict: bool = Field(
        False,
        description="refuse novel rows and columns that the model does not have; by default both are taken and named",
    )
    resize: bool = Field(
        False,
        description="scale image files of another size to the model's, by bilinear interpolation as in training with "
        "--resize; the reply has the size of each file in image_size",
    )
    errors: Literal["fail", "report"] = Field(
        "fail",
        description="what an invalid row does: fail refuses the request; report scores the other rows, and answers the "
        "row with the reason",
    )


class EncodeOptions(RowOptions):
    """The options of /encode."""


def _members_tag(members: Any) -> str:
    return "each" if isinstance(members, list) else "one"


class DecodeOptions(Request):
    """The options of /decode."""

    members: (
        Annotated[
            Annotated[int, Tag("one")] | Annotated[list[int], Tag("each")],
            Discriminator(_members_tag),
        ]
        | None
    ) = Field(
        None,
        description="the member that decodes the latents, from 0: one number for all, or one for each latent vector; "
        "required if the model has members, refused if it has none",
    )


class SampleOptions(Request):
    """The options of /sample."""

    n: Annotated[int, Field(ge=1, description="number of samples")]
    seed: Seed | None = Field(None, description="seed of the draws; null: a random seed, which is returned")
    temperature: Annotated[NonNegativeFloat, Field(allow_inf_nan=False)] = Field(
        1.0,
        description="scales the noise that goes into the prior; below 1 refused if the prior consists of training rows "
        "and the bundle does not allow it",
    )
    observe: bool = Field(False, description="draw from p(x|z) instead of returning its mean")


class ElboOptions(RowOptions):
    """The options of /elbo."""

    num_samples: Annotated[int, Field(ge=2)] | None = Field(
        None, description="Monte-Carlo draws K, from 2 to the model's K_max; null: the model's default"
    )
    seed: Seed | None = Field(None, description="seed of the draws; null: the default draws, which p-values need")
    alpha: Annotated[FiniteFloat, Field(gt=0, lt=1)] | None = Field(
        None, description="false-alarm rate of the verdict; null: the service's default"
    )
    fdr: Annotated[FiniteFloat, Field(gt=0, lt=1)] | None = Field(
        None, description="false-discovery rate over the rows of this request; null: is_discovery is left out"
    )
    log_evidence: bool = Field(
        True,
        description="also return the importance-weighted bound; false is faster with a prior of training rows",
    )
    features: bool = Field(
        False,
        description="also return the log-likelihood of each feature; with a kernel prior, log p(x_d | the other cells)",
    )
    explain: Annotated[int, Field(ge=1, le=MAX_EXPLAINED)] | None = Field(
        None, description="number of most anomalous cells to explain per row; default draws only"
    )
    similar: Annotated[int, Field(ge=0)] = Field(
        0,
        description="number of most similar training rows to show per row, at most 5; refused unless the bundle holds "
        "them (privacy.show_exemplars)",
    )
    ignore: dict[str, ToleranceRule] | None = Field(
        None,
        description="tolerance rules by column, which replace those of the model; an alarm that tolerated deviations "
        "explain is removed; {}: no rules; null: the model's",
    )
    ids: Annotated[list[RowId], FailFast()] = Field(
        default_factory=list,  # pydantic copies a default for each request, which takes longer
        json_schema_extra={"default": []},
        description="the caller's id of each row, text of at most 128 characters or an integer, for the score log; "
        "null: this row has none; empty: no row has one",
    )
    id_column: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="the column that has the ids, in place of `ids`, for rows by column name and Arrow tables"
    )


class MixedRows(Request):
    inputs: Table = Field(
        description="rows in column order: a category as the name of its level, null for a missing cell; in a column "
        "of numbers, true is 1 and false is 0"
    )


class MixedObjects(Request):
    inputs: TableObjects = Field(
        description="rows by column name; a missing cell may be left out, and up to 1,000 other names are ignored"
    )


class WindowRows(Request):
    inputs: Annotated[list[Annotated[list[TableCells], FailFast()]], FailFast(), Field(min_length=1)] = Field(
        description="windows (N, W, D) of a model of windows: lists of time steps, the oldest first, cells as in rows"
    )


class ImagePixels(Request):
    inputs: Images = Field(description="H x W x C integers 0..255")


class ImageFiles(Request):
    inputs: EncodedImages


class Latents(Request):
    latents: Annotated[list[Numbers], FailFast(), Field(min_length=1)] = Field(description="latents z, (N, Z)")
