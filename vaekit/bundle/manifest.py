"""What a bundle says of itself: manifest.json as typed models. Knows the format, not the files."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    Field,
    FiniteFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from vaekit.bundle.part import Part
from vaekit.bundle.tail import Tail
from vaekit.bundle.thresholds import Threshold

FORMAT = "1.2"
MANIFEST_FILE = "manifest.json"
CALIBRATION_FILE = "calibration.npz"
SURPRISE_FILE = "surprise.npz"

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", description="Name of a model.")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$", description="A file beside the manifest.")]
Operation = Literal["encode", "prior", "decode", "observe", "bound", "elbo", "surprise"]
Precision = Literal["float32", "float16"]  # of the networks
Kind = Literal["real", "positive", "count", "fraction", "binary", "category"]
LikelihoodName = Literal[
    "gaussian",
    "student_t",
    "laplace",
    "bernoulli",
    "continuous_bernoulli",
    "discretized_logistic",
    "categorical",
    "mixed",
]


class File(Part):
    """A file of the bundle and the digest it must have."""

    file: FileName
    sha256: Sha256


class Constant(Part):
    """How a column that never changed in training is modelled: N(value, scale^2), apart from the networks."""

    value: FiniteFloat
    scale: Annotated[FiniteFloat, Field(gt=0)]


class Column(Part):
    """One named column of a vector model."""

    name: Annotated[str, Field(min_length=1)]
    kind: Kind = Field(
        "real",
        description="real: any finite number; positive: > 0; count: 0, 1, 2, ...; fraction: between 0 and 1; binary: 0 "
        "or 1; category: one of the levels",
    )
    levels: tuple[str, ...] | None = Field(
        None, description="category: what a cell may be; the graphs take its index, 0, 1, 2, ..."
    )
    may_be_missing: bool = Field(False, description="an empty cell is left out of the ELBO")
    constant: Constant | None = None

    @model_validator(mode="after")
    def _has_levels(self) -> Column:
        if (self.kind == "category") != (self.levels is not None):
            raise ValueError(f"column {self.name!r}: levels belong to categories, and to every one of them")
        if self.levels is not None and len(set(self.levels)) != len(self.levels):
            raise ValueError(f"column {self.name!r}: two levels of one name")
        return self


class VectorSpec(Part):
    """Rows of D named columns; the graphs take x (N, D) float64 in raw units, and the level's index for categories.

    Where any column may be missing they also take observed (N, D) bool; x is then 0 where observed is false.
    """

    kind: Literal["vector"] = "vector"
    columns: Annotated[tuple[Column, ...], Field(min_length=1)]
    dtype: Literal["float64"] = "float64"

    @field_validator("columns")
    @classmethod
    def _names_differ(cls, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        names = [column.name for column in columns]
        if len(set(names)) != len(names):
            raise ValueError(f"two columns of one name: {next(n for n in names if names.count(n) > 1)!r}")
        return columns

    # What every request asks of the columns is found once: there may be thousands of them.

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @cached_property
    def may_be_missing(self) -> bool:
        """Whether any column may."""
        return any(column.may_be_missing for column in self.columns)

    @cached_property
    def has_categories(self) -> bool:
        """Whether any column is one."""
        return any(column.kind == "category" for column in self.columns)

    @cached_property
    def particular(self) -> tuple[tuple[int, Column], ...]:
        """The columns that take not just any finite number, with their places."""
        return tuple((d, column) for d, column in enumerate(self.columns) if column.kind != "real")

    @property
    def dim(self) -> int:
        """D."""
        return len(self.columns)

    @property
    def row_shape(self) -> tuple[int, ...]:
        return (self.dim,)


class ImageSpec(Part):
    """Pictures; the graphs take x (N, H, W, C) uint8, 0..255."""

    kind: Literal["image"] = "image"
    height: PositiveInt
    width: PositiveInt
    channels: Literal[1, 3, 4]
    channel_order: Literal["HWC"] = "HWC"
    dtype: Literal["uint8"] = "uint8"
    two_valued: bool = Field(False, description="pixels are 0 or 255 alone; grey ones are refused")

    @property
    def may_be_missing(self) -> bool:
        """Pixels may not."""
        return False

    @property
    def dim(self) -> int:
        """D = H W C."""
        return self.height * self.width * self.channels

    @property
    def row_shape(self) -> tuple[int, ...]:
        return (self.height, self.width, self.channels)


InputSpec = Annotated[VectorSpec | ImageSpec, Field(discriminator="kind")]


class Likelihood(Part):
    """p(x|z), its settings, and what its density is a density of."""

    name: LikelihoodName
    parameters: tuple[str, ...] = Field(
        description="outputs of the decoder graph, in raw units: mean; scale and df where every column has one; "
        "probabilities (N, all levels of all categories)"
    )
    columns: tuple[LikelihoodName, ...] | None = Field(None, description="mixed: the likelihood of each column")
    scale: Literal["network", "feature", "shared", "fixed", "by member"] | None = Field(
        None, description="where it is from; by member: some have it from the network, the others one for each column"
    )
    components: PositiveInt | None = Field(None, description="discretized_logistic: logistics in each mixture")
    mass: bool = Field(False, description="the density is a probability: of pixels, counts, levels or binary values")
    binarize: Literal["none", "threshold", "dynamic"] | None = None
    threshold: FiniteFloat | None = Field(None, description="raw values >= this are ones, where binarize is threshold")
    bits_per_dim_of: str | None = Field(
        None, description="what -elbo / (D ln 2) counts bits of; null where the density is not one over pixels"
    )


class Prior(Part):
    """p(z), which /sample draws from and elbo scores with."""

    name: Literal["normal", "aggregate"] = Field(
        "normal", description="normal: N(0, I); aggregate: the mean of the posteriors of training rows"
    )
    components: PositiveInt | None = Field(
        None, description="aggregate: how many training rows, for each member; where fold models differ, the most"
    )


class Tensor(Part):
    """One input or output of a graph; letters stand for free sizes."""

    name: str
    dtype: Literal["float32", "float64", "int64", "uint8", "bool"]
    shape: tuple[PositiveInt | str, ...]


class Graph(File):
    """One ONNX graph and its signature."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class Draws(File):
    """The base draws (K_max, Z) of the Monte-Carlo estimate; bundle/draws.py has the rule that makes eps of them."""

    rule: Literal["first-k-centred-unit-moment"] = "first-k-centred-unit-moment"
    default: Annotated[int, Field(ge=2, description="K unless a request says otherwise")]
    maximum: Annotated[int, Field(ge=2, description="K_max")]


class Fold(Part):
    """The held-out rows of one fold, scored by the model that was trained without them."""

    n: PositiveInt
    tail: Tail | None = Field(description="extrapolates beyond them; null where they are too few")


class CalibrationEntry(Part):
    """Held-out scores of one way of scoring: only the same graph, precision, K and draws compare with them."""

    array: str = Field(description="name inside the npz file; with folds that of fold f ends in _fold0, _fold1, ...")
    graph: Literal["elbo"] = "elbo"
    precision: Precision = "float32"
    num_samples: Annotated[int, Field(ge=2)]
    draws: Literal["default"] = "default"
    n: PositiveInt = Field(description="held-out rows, with folds of all together")
    folds: Annotated[tuple[Fold, ...], Field(min_length=3)] | None = Field(
        None,
        description="format 1.2: the p-value is the median over folds, of each fold's by its own output of fold_elbo; "
        "null: one held-out set, by elbo",
    )
    guarantee: Annotated[FiniteFloat, Field(ge=1, lt=2)] = Field(
        1.0, description="P(p_value <= alpha) <= guarantee alpha: 1, and 2 F / (F + 1) of F folds"
    )
    observed_counts: tuple[PositiveInt, ...] | None = Field(
        None, description="numbers of observed columns that the held-out rows had; null where no column may be missing"
    )
    thresholds: tuple[Threshold, ...] = Field(
        (),
        description="what alphas they can tell; from format 1.1 on. Empty with folds: no one score is the threshold, "
        "and the rate of a median has no known law",
    )
    tail: Tail | None = Field(
        None, description="extrapolates beyond them; null where they are too few, with folds, and before format 1.1"
    )

    @property
    def told_by(self) -> int:
        """Rows whose number says how small a p-value can be, 1 / (told_by + 1): of folds the middle one's."""
        return self.n if self.folds is None else sorted(fold.n for fold in self.folds)[len(self.folds) // 2]


class CalibrationFile(File):
    """Scores of rows used for nothing else."""

    entries: Annotated[tuple[CalibrationEntry, ...], Field(min_length=1)]
    assumption: str = Field(description="what must hold between calibration rows and scored rows")


class SurpriseFile(File):
    """Order statistics of the calibration rows' surprises, by feature, and of their KL: what a cell compares with."""

    graph: Literal["surprise"] = "surprise"
    precision: Precision = "float32"
    num_samples: Annotated[int, Field(ge=2)]
    draws: Literal["default"] = "default"
    n: PositiveInt = Field(description="rows that were looked at")


class Tolerance(Part):
    """|got - want| <= absolute unit + relative |want|; the golden file has the units."""

    relative: Annotated[FiniteFloat, Field(gt=0)]
    absolute: Annotated[FiniteFloat, Field(gt=0)]


class Golden(File):
    """Rows and the outputs they must give, replayed before the bundle may serve."""

    num_samples: Annotated[int, Field(ge=2)]
    tolerance: dict[str, Tolerance] = Field(description="by ONNX Runtime execution provider")


class Half(Part):
    """Twins of graphs that compute their networks in float16, and all else as the graphs themselves do."""

    operations: Annotated[dict[Operation, File], Field(min_length=1)] = Field(
        description="those that have a twin; its signature is the graph's own"
    )
    golden: Golden


class Metric(Part):
    """One measured figure."""

    value: FiniteFloat
    standard_error: FiniteFloat | None = None
    n: PositiveInt | None = Field(None, description="rows it was measured on")
    unit: str | None = None


class Provenance(Part):
    """What made the bundle."""

    config: dict[str, Any] = Field(default_factory=dict)
    seed: int | None = None
    data: str | None = Field(None, description="where the rows came from")
    data_sha256: Sha256 | None = None
    rows: dict[str, int] = Field(default_factory=dict, description="rows of each part of the split")
    commit: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    parent: str | None = Field(None, description="name@version this one was derived from")


class Manifest(Part):
    """manifest.json of format 1."""

    format: Annotated[str, Field(pattern=r"^1\.\d+$", description="major.minor")] = FORMAT
    name: Name
    version: PositiveInt
    created: AwareDatetime
    input: InputSpec
    likelihood: Likelihood
    prior: Prior
    latent_dim: PositiveInt
    members: PositiveInt = Field(1, description="M: VAEs that the density is an equally weighted mixture of")
    width: PositiveInt = Field(1, description="values a row in the widest layer: what bounds the memory of a call")
    operations: Annotated[dict[Operation, Graph], Field(min_length=1)]
    half: Half | None = Field(None, description="float16 graphs, where the run was told to make them")
    draws: Draws
    calibration: CalibrationFile | None = None
    surprise: SurpriseFile | None = Field(None, description="format 1.1: what makes single cells comparable")
    golden: Golden
    metrics: dict[str, Metric] = Field(default_factory=dict)
    provenance: Provenance = Field(default_factory=Provenance)

    @property
    def files(self) -> tuple[File, ...]:
        """Every file that a reader copies and verifies."""
        parts: list[File] = [*self.operations.values(), self.draws, self.golden]
        parts += [*self.half.operations.values(), self.half.golden] if self.half else []
        return (*parts, *(part for part in (self.calibration, self.surprise) if part))

    @cached_property
    def widest(self) -> int:
        """Cells of a row in the widest thing that travels: the row, the codes of all members, or all levels."""
        columns = self.input.columns if isinstance(self.input, VectorSpec) else ()
        levels = sum(len(column.levels or ()) for column in columns)
        return max(self.input.dim, levels, self.members * self.latent_dim)

    @property
    def components(self) -> int:
        """Densities that the priors of all members are means of; 0 of N(0, I)."""
        return self.members * (self.prior.components or 0)

    @property
    def graph_files(self) -> tuple[str, ...]:
        """Every signed file that is a graph."""
        twins = self.half.operations if self.half else {}
        return tuple(part.file for part in (*self.operations.values(), *twins.values()))

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """What the networks may compute in."""
        return ("float32", "float16") if self.half else ("float32",)

    def to_json(self) -> str:
        return self.model_dump_json(indent=2) + "\n"
