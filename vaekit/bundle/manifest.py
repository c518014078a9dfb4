"""The pydantic models of manifest.json."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, FiniteFloat, PositiveInt, model_validator

from vaekit.bundle.draws import DrawsRule
from vaekit.bundle.groups import Groups
from vaekit.bundle.input_spec import InputSpec, VectorSpec
from vaekit.bundle.manifest_part import ManifestPart
from vaekit.bundle.novelty import Novelty
from vaekit.bundle.privacy import Privacy
from vaekit.bundle.tail import Tail
from vaekit.bundle.thresholds import Threshold
from vaekit.bundle.tolerance import kinds_by_name, wrong_column
from vaekit.tolerance_rules import ToleranceRule

FORMAT = "1.6"
MANIFEST_FILE = "manifest.json"
IMAGE_PATH = "file"  # column of a folder of images
CALIBRATION_FILE = "calibration.npz"
SURPRISE_FILE = "surprise.npz"
EXEMPLARS_FILE = "exemplars.npz"

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", description="Name of a model.")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$", description="A file beside the manifest.")]
Operation = Literal["encode", "prior", "decode", "observe", "bound", "elbo", "surprise"]
Precision = Literal["float32", "float16"]  # of the networks
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


class SignedFile(ManifestPart):
    """A file of the bundle and its sha256; such files are called signed."""

    file: FileName
    sha256: Sha256


class LikelihoodSpec(ManifestPart):
    """p(x|z) and its settings."""

    name: LikelihoodName
    parameters: tuple[str, ...] = Field(
        description="outputs of the decoder graph, in raw units: mean; scale and df if every column has one; "
        "probabilities (N, all levels of all categories)"
    )
    columns: tuple[LikelihoodName, ...] | None = Field(None, description="mixed: the likelihood of each column")
    scale: Literal["network", "feature", "shared", "fixed", "by member"] | None = Field(
        None,
        description="source of the scale; by member: some members take it from the network, the others have one scale "
        "for each column",
    )
    components: PositiveInt | None = Field(
        None, description="discretized_logistic: number of logistics in each mixture"
    )
    mass: bool = Field(False, description="p(x|z) is a probability (of pixels, counts, levels or binary values)")
    binarize: Literal["none", "threshold", "dynamic"] | None = None
    threshold: FiniteFloat | None = Field(None, description="binarize = threshold: raw values >= this become 1")
    bits_per_dim_of: str | None = Field(
        None,
        description="the dimensions of bits_per_dim, such as pixels; null if the likelihood is not over pixels",
    )


class PriorSpec(ManifestPart):
    """p(z), the prior of /sample and of the ELBO."""

    name: Literal["normal", "aggregate", "kernel"] = Field(
        "normal",
        description="normal: N(0, I); aggregate: the mean of the posteriors of training rows; kernel (format 1.5): the "
        "mean of Student-t or normal kernels around training rows, where z is the standardised row",
    )
    components: PositiveInt | None = Field(
        None,
        description="aggregate, kernel: number of training rows in the prior of each member; the largest if fold "
        "models differ",
    )


class Tensor(ManifestPart):
    """One input or output of a graph; letters in the shape stand for sizes that may vary."""

    name: str
    dtype: Literal["float32", "float64", "int64", "uint8", "bool"]
    shape: tuple[PositiveInt | str, ...]


class Graph(SignedFile):
    """One ONNX graph and its signature, the names, types and shapes of its inputs and outputs."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class DrawsFile(SignedFile):
    """The base draws (K_max, Z) of the Monte-Carlo estimate; bundle/draws.py turns them into eps."""

    rule: DrawsRule = Field(
        "first-k-centred-unit-moment",
        description="how the default draws follow from the base draws; first-k-whitened since format 1.3",
    )
    default: Annotated[int, Field(ge=2, description="K, if a request does not set it")]
    maximum: Annotated[int, Field(ge=2, description="K_max")]


class Fold(ManifestPart):
    """The held-out rows of one fold, scored by the model that was trained without them."""

    n: PositiveInt
    tail: Tail | None = Field(description="extrapolates beyond the held-out scores; null if they are too few")


class CalibrationEntry(ManifestPart):
    """Held-out scores. They are comparable only with scores of the same graph, precision, K and draws."""

    array: str = Field(
        description="name in the npz file; with folds, each fold has an array: this name with _fold0, _fold1, ..."
    )
    graph: Literal["elbo"] = "elbo"
    precision: Precision = "float32"
    num_samples: Annotated[int, Field(ge=2)]
    draws: Literal["default"] = "default"
    n: PositiveInt = Field(description="number of held-out rows, of all folds together")
    folds: Annotated[tuple[Fold, ...], Field(min_length=3)] | None = Field(
        None,
        description="format 1.2: the p-value of a row is the median of one p-value per fold, from fold_elbo; null: one "
        "held-out set, and the p-value is from elbo",
    )
    guarantee: Annotated[FiniteFloat, Field(ge=1, lt=2)] = Field(
        1.0, description="P(p_value <= alpha) <= guarantee alpha: 1 without folds, 2 F / (F + 1) with F folds"
    )
    observed_counts: tuple[PositiveInt, ...] | None = Field(
        None,
        description="only without `novelty`: numbers of observed columns in rows that are not novel; null if no column "
        "may be missing",
    )
    thresholds: tuple[Threshold, ...] = Field(
        (),
        description="format 1.1: the score thresholds of common alphas. Empty with folds: there is one threshold per "
        "fold, and the distribution of the true false-alarm rate is not known",
    )
    tail: Tail | None = Field(
        None,
        description="format 1.1: extrapolates beyond the held-out scores; null with folds or with too few scores",
    )
    groups: Groups | None = Field(
        None,
        description="format 1.4: a row is compared with the held-out rows of its group alone; absent: with all of them",
        exclude_if=lambda value: value is None,
    )

    @property
    def rows_per_p_value(self) -> int:
        """n in the smallest p-value, 1 / (n + 1): the number of held-out rows; with folds, that of the median fold."""
        return self.n if self.folds is None else sorted(fold.n for fold in self.folds)[len(self.folds) // 2]

    def rate_interval(self, alpha: float) -> tuple[float, float] | None:
        """95 % interval of the true false-alarm rate of this one calibration at one of `thresholds.ALPHAS`.

        None: it is not known, as with folds, or the rows cannot tell this alpha.
        """
        one = next((each for each in self.thresholds if each.alpha == alpha), None)
        if one is None or one.rate_low is None or one.rate_high is None:
            return None
        return one.rate_low, one.rate_high


class CalibrationFile(SignedFile):
    """Scores of the calibration rows, which are used for nothing else."""

    entries: Annotated[tuple[CalibrationEntry, ...], Field(min_length=1)]
    assumption: str = Field(description="what p-values assume about calibration rows and scored rows")


class SurpriseFile(SignedFile):
    """Order statistics of the surprises (by feature) and KLs of the calibration rows, for explanations of cells."""

    graph: Literal["surprise"] = "surprise"
    precision: Precision = "float32"
    num_samples: Annotated[int, Field(ge=2)]
    draws: Literal["default"] = "default"
    n: PositiveInt = Field(description="number of calibration rows")


class ExemplarsFile(SignedFile):
    """The training rows of a kernel prior in raw units, and their numbers in the training source."""

    n: PositiveInt = Field(description="M, number of rows")


class Tolerance(ManifestPart):
    """|got - want| <= absolute * unit + relative * |want|; the unit of each output is in the golden file."""

    relative: Annotated[FiniteFloat, Field(gt=0)]
    absolute: Annotated[FiniteFloat, Field(gt=0)]


class Golden(SignedFile):
    """Rows and their expected outputs, which are compared with the graphs' outputs before the bundle is served."""

    num_samples: Annotated[int, Field(ge=2)]
    tolerance: dict[str, Tolerance] = Field(description="by ONNX Runtime execution provider")


class Float16Graphs(ManifestPart):
    """float16 versions of graphs: only the networks are computed in float16."""

    operations: Annotated[dict[Operation, SignedFile], Field(min_length=1)] = Field(
        description="the operations that have a float16 graph; its signature is that of the float32 graph"
    )
    golden: Golden


class Metric(ManifestPart):
    """One measured figure."""

    value: FiniteFloat
    standard_error: FiniteFloat | None = None
    n: PositiveInt | None = Field(None, description="number of rows it was measured on")
    unit: str | None = None


class Provenance(ManifestPart):
    """How the bundle was made."""

    config: dict[str, Any] = Field(default_factory=dict)
    seed: int | None = None
    data: str | None = Field(None, description="source of the training data")
    data_sha256: Sha256 | None = None
    rows: dict[str, int] = Field(default_factory=dict, description="number of rows in each split")
    commit: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    parent: str | None = Field(None, description="name@version that this version was derived from")


class Manifest(ManifestPart):
    """manifest.json of format 1."""

    format: Annotated[str, Field(pattern=r"^1\.\d+$", description="major.minor")] = FORMAT
    name: Name
    version: PositiveInt
    created: AwareDatetime
    input: InputSpec
    likelihood: LikelihoodSpec
    prior: PriorSpec
    latent_dim: PositiveInt
    members: PositiveInt = Field(1, description="M: number of VAEs; the density is their equally weighted mixture")
    width: PositiveInt = Field(1, description="values per row in the widest layer; bounds the memory of a call")
    operations: Annotated[dict[Operation, Graph], Field(min_length=1)]
    half: Float16Graphs | None = Field(None, description="float16 graphs, if the run exported them")
    draws: DrawsFile
    calibration: CalibrationFile | None = None
    surprise: SurpriseFile | None = Field(None, description="format 1.1: held-out surprises, for explanations of cells")
    exemplars: ExemplarsFile | None = Field(
        None, description="format 1.5: the training rows of a kernel prior, if the bundle may show them"
    )
    golden: Golden
    novelty: Novelty | None = Field(None, description="format 1.3: how novel rows are scored; null for images")
    privacy: Privacy | None = Field(None, description="format 1.3: training rows in the bundle")
    ignore: dict[str, ToleranceRule] | None = Field(None, description="format 1.4: tolerance rules by column")
    metrics: dict[str, Metric] = Field(default_factory=dict)
    provenance: Provenance = Field(default_factory=Provenance)

    @model_validator(mode="after")
    def _rules_fit(self) -> Manifest:
        if self.ignore and (problem := wrong_column(self.ignore, kinds_by_name(self.input))):
            raise ValueError(problem)
        return self

    @property
    def files(self) -> tuple[SignedFile, ...]:
        """All files that a reader copies and verifies."""
        parts: list[SignedFile] = [*self.operations.values(), self.draws, self.golden]
        parts += [*self.half.operations.values(), self.half.golden] if self.half else []
        return (*parts, *(part for part in (self.calibration, self.surprise, self.exemplars) if part))

    @cached_property
    def max_cells_per_row(self) -> int:
        """Values per row of the largest request or reply: the row, the latents of all members, or all levels."""
        columns = self.input.columns if isinstance(self.input, VectorSpec) else ()
        levels = sum(len(column.levels or ()) for column in columns)
        return max(self.input.dim, levels, self.members * self.latent_dim)

    @cached_property
    def most_missing(self) -> int:
        """The most missing cells of a row that is not novel; before format 1.3 that of the calibration rows."""
        if self.novelty is not None:
            return self.novelty.most_missing
        entries = self.calibration.entries if self.calibration else ()
        counts = [min(entry.observed_counts) for entry in entries if entry.observed_counts]
        return self.input.dim - min(counts, default=self.input.dim)

    @property
    def groups(self) -> Groups | None:
        """The groups of the calibration; None if all rows are compared with all held-out rows."""
        return self.calibration.entries[0].groups if self.calibration else None

    @property
    def id_column(self) -> str | None:
        """The column that identifies rows: that of the training rows, or the path of an image; None without any."""
        if self.input.kind == "image":
            return IMAGE_PATH
        data = self.provenance.config.get("data")
        found = data.get("id") if isinstance(data, dict) else None
        return found if isinstance(found, str) else None

    @property
    def components(self) -> int:
        """Number of components in the priors of all members; 0 for N(0, I)."""
        return self.members * (self.prior.components or 0)

    @property
    def training_rows(self) -> int:
        """The number of training rows that the bundle contains, or whose latents it contains."""
        if self.prior.name == "normal":
            return 0
        return self.privacy.training_rows if self.privacy else self.prior.components or 0

    @property
    def least_temperature(self) -> float:
        """The lowest temperature of samples: 1 if they would be near copies of training rows below it, otherwise 0."""
        allowed = self.prior.name == "normal" or (self.privacy is not None and self.privacy.allow_low_temperature)
        return 0.0 if allowed else 1.0

    @property
    def graph_files(self) -> tuple[str, ...]:
        """The names of all ONNX graphs, float16 graphs included."""
        float16_graphs = self.half.operations if self.half else {}
        return tuple(part.file for part in (*self.operations.values(), *float16_graphs.values()))

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """The precisions that the networks can compute in."""
        return ("float32", "float16") if self.half else ("float32",)

    def to_json(self) -> str:
        return self.model_dump_json(indent=2) + "\n"
