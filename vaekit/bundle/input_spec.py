"""Describes the input of a model: named columns of several kinds, or images of one size."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, PositiveInt, field_validator, model_validator

from vaekit.bundle.manifest_part import ManifestPart
from vaekit.bundle.window import SeriesWindow

Kind = Literal["real", "positive", "count", "fraction", "binary", "category"]


class Constant(ManifestPart):
    """The distribution of a column that was constant in training: N(value, scale^2). The networks do not see it."""

    value: FiniteFloat
    scale: Annotated[FiniteFloat, Field(gt=0)]


class Column(ManifestPart):
    """One named column of a vector model."""

    name: Annotated[str, Field(min_length=1)]
    kind: Kind = Field(
        "real",
        description="real: any finite number; positive: > 0; count: 0, 1, 2, ...; fraction: between 0 and 1; binary: 0 "
        "or 1; category: one of the levels",
    )
    levels: tuple[str, ...] | None = Field(
        None, description="category: the values that a cell may have; the graphs take their index, 0, 1, 2, ..."
    )
    may_be_missing: bool = Field(False, description="an empty cell is left out of the ELBO")
    constant: Constant | None = None
    missing_values: tuple[FiniteFloat | str, ...] = Field(
        (),
        description="format 1.3: cells with one of these numbers or texts are empty cells; absent: there are none",
        exclude_if=lambda value: not value,
    )

    @property
    def takes_missing(self) -> bool:
        """Whether a row may have an empty cell here."""
        return self.may_be_missing

    @property
    def takes_novel(self) -> bool:
        """Whether a row may have an unseen level here, or a number that the kind does not have."""
        return False

    @model_validator(mode="after")
    def _has_levels(self) -> Column:
        if (self.kind == "category") != (self.levels is not None):
            raise ValueError(f"column {self.name!r}: levels are required for kind 'category', and only allowed there")
        if self.levels is not None and len(set(self.levels)) != len(self.levels):
            raise ValueError(f"column {self.name!r}: duplicate levels")
        return self


class LenientColumn(Column):
    """A column that also takes what no training row had: an empty cell, a new level, a number outside its kind."""

    @property
    def takes_missing(self) -> bool:
        return True

    @property
    def takes_novel(self) -> bool:
        return True


class VectorSpec(ManifestPart):
    """Rows of D named columns. The graphs take x (N, D) float64 in raw units; a category is the index of its level.

    If any column may be missing, the graphs also take observed (N, D) bool; x is then 0 where observed is false.
    """

    kind: Literal["vector"] = "vector"
    columns: Annotated[tuple[Column, ...], Field(min_length=1)]
    dtype: Literal["float64"] = "float64"
    window: SeriesWindow | None = Field(
        None,
        description="format 1.6: the columns are those of windows of a series; absent: they are not",
        exclude_if=lambda value: value is None,
    )

    @field_validator("columns")
    @classmethod
    def _names_differ(cls, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        names = [column.name for column in columns]
        if len(set(names)) != len(names):
            raise ValueError(f"duplicate column name: {next(n for n in names if names.count(n) > 1)!r}")
        return columns

    @model_validator(mode="after")
    def _fits_window(self) -> VectorSpec:
        if self.window is not None and self.window.names != tuple(column.name for column in self.columns):
            raise ValueError("the columns are not those of the window: window.columns at each of window.steps")
        return self

    # Cached, because every request needs them and there may be thousands of columns.

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @cached_property
    def may_be_missing(self) -> bool:
        """Whether any column may be missing."""
        return any(column.may_be_missing for column in self.columns)

    @cached_property
    def has_categories(self) -> bool:
        """Whether any column is a category."""
        return any(column.kind == "category" for column in self.columns)

    @cached_property
    def has_missing_values(self) -> bool:
        """Whether numbers or texts stand for an empty cell."""
        return any(column.missing_values for column in self.columns)

    @cached_property
    def restricted(self) -> tuple[tuple[int, Column], ...]:
        """(index, column) for each column whose kind does not allow every finite number."""
        return tuple((d, column) for d, column in enumerate(self.columns) if column.kind != "real")

    @cached_property
    def lenient(self) -> VectorSpec:
        """The same columns, but for rows that may be novel: see LenientColumn."""
        return VectorSpec(columns=tuple(LenientColumn(**dict(column)) for column in self.columns), window=self.window)

    @cached_property
    def step(self) -> VectorSpec:
        """The D columns of one time step; of a model without windows its columns."""
        if self.window is None:
            return self
        last = zip(self.columns[-self.window.dim :], self.window.columns, strict=True)
        return VectorSpec(columns=tuple(column.model_copy(update={"name": name}) for column, name in last))

    @property
    def dim(self) -> int:
        """D."""
        return len(self.columns)

    @property
    def row_shape(self) -> tuple[int, ...]:
        return (self.dim,)


class ImageSpec(ManifestPart):
    """Images; the graphs take x (N, H, W, C) uint8, 0..255."""

    kind: Literal["image"] = "image"
    height: PositiveInt
    width: PositiveInt
    channels: Literal[1, 3, 4]
    channel_order: Literal["HWC"] = "HWC"
    dtype: Literal["uint8"] = "uint8"
    two_valued: bool = Field(False, description="pixels must be 0 or 255; other values are refused")
    resize: bool = Field(
        False,
        description="files of images of another size are scaled to this size; absent: they are refused",
        exclude_if=lambda value: not value,
    )

    @property
    def window(self) -> None:
        """Always None: images are not cut into windows."""
        return None

    @property
    def lenient(self) -> ImageSpec:
        """Itself: no image is novel by its form."""
        return self

    @property
    def may_be_missing(self) -> bool:
        """Always False: pixels may not be missing."""
        return False

    @property
    def dim(self) -> int:
        """D = H W C."""
        return self.height * self.width * self.channels

    @property
    def row_shape(self) -> tuple[int, ...]:
        return (self.height, self.width, self.channels)


InputSpec = Annotated[VectorSpec | ImageSpec, Field(discriminator="kind")]
