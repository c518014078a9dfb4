"""[data] of a training config: which rows are read, and how they are split."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, PositiveInt, StringConstraints, model_validator

from vaekit.bundle.input_spec import Kind
from vaekit_training.sections.base import ConfigSection, Fraction

Stripped = Annotated[str, StringConstraints(strip_whitespace=True)]  # cells are compared without blanks around them


class Fractions(ConfigSection):
    """Shares of the normal rows; they must add up to 1. All labelled anomalies are used for testing only."""

    train: Fraction = Field(0.6, description="share of the rows that train the weights and the standardisation")
    validation: Fraction = Field(0.1, description="share of the rows that decide when to stop")
    calibration: Fraction = Field(
        0.2, description="share of the rows that p-values are computed from; they are used for nothing else"
    )
    test: Fraction = Field(0.1, description="share of the rows that the reported metrics are measured on")

    @model_validator(mode="after")
    def _whole(self) -> Fractions:
        total = self.train + self.validation + self.calibration + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the fractions add up to {total:g}; they must add up to 1")
        return self


class DataConfig(ConfigSection):
    """[data]: which rows are read, and how they are split."""

    source: str = Field(
        description="a .csv, .parquet, .npy or .npz file, a folder of images or of .parquet files, or a built-in "
        "dataset: 'breast-cancer', 'digits', 'photographs'"
    )
    label: str | None = Field(None, description="column that marks anomalies, which are kept out of training")
    anomalies: tuple[str | int | float | bool, ...] = Field((1,), description="values of the label that mean anomaly")
    exclude: tuple[str, ...] = Field((), description="columns that are not modelled")
    id: str | None = Field(
        None,
        description="column that identifies the rows: it is not modelled, and lists of rows show it beside row "
        "numbers; None: only the row number is shown. vae train sets it to the first column without repeated cells "
        "that is named like an id",
    )
    kinds: dict[str, Kind] = Field(
        default_factory=dict,
        description="by column: 'real', 'positive' (> 0, modelled on the log), 'count' (0, 1, 2, ...), 'fraction' "
        "(between 0 and 1), 'binary' or 'category'; a column without an entry has the likelihood's default kind; under "
        "'mixed' a column of text is a category, one of 0 and 1 is binary, and any other is real",
    )
    resize: tuple[PositiveInt, PositiveInt] | None = Field(
        None,
        description="[width, height] in pixels to which every file of a folder of images is scaled, in training and "
        "afterwards, whatever its proportions; None: all must have one size",
    )
    missing: Literal["refuse", "marginalise"] = Field(
        "refuse",
        description="'refuse': a missing cell is an error; 'marginalise': missing cells are allowed in columns that "
        "have them in the training data, and the ELBO of a row is over its observed columns",
    )
    missing_values: tuple[Stripped | int | FiniteFloat, ...] = Field(
        (),
        description="numbers and texts that stand for a missing cell in every column, such as [-999, '?'], in training "
        "and afterwards",
    )
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = Field(
        ",", description="the character between the cells of a .csv file, such as ';' or '\\t'"
    )
    decimal: Literal[".", ","] = Field(".", description="the decimal separator of numbers in a .csv file")
    thousands: Literal["", ",", ".", " ", "'"] = Field(
        "", description="the separator of groups of three digits in a .csv file; '': numbers have none"
    )
    read: Literal["memory", "map", "stream"] = Field(
        "memory",
        description="'memory'; 'map': memory-map a .npy file; 'stream': read Parquet in chunks, for data larger than "
        "memory",
    )
    shuffle_buffer: PositiveInt = Field(
        65536, description="stream: number of rows held in memory and shuffled, to mix neighbouring rows of a file"
    )
    window: Annotated[int, Field(ge=2, le=10_000)] | None = Field(
        None,
        description="W, number of time steps in a window: a row of the model is then W consecutive time steps of a "
        "series, and the score of a time step is that of the window which ends there "
        "(docs/how-to/windows-of-a-series.md). None: a row is a row",
    )
    stride: PositiveInt | None = Field(
        None, description="windows: time steps from one training window to the next; None: 1"
    )
    time: str | None = Field(
        None,
        description="windows: column with the time of a row, numbers or dates, in order within a series; None: rows "
        "are in order of time, without gaps",
    )
    series_column: str | None = Field(
        None, description="windows: column that names the series of a row, such as a machine; None: one series"
    )
    gap: Annotated[FiniteFloat, Field(gt=0)] | None = Field(
        None,
        description="windows: largest difference of time between neighbouring steps of a window, in seconds, or in "
        "units of a column of numbers; None: 1.5 times the median difference",
    )
    split: Annotated[str, Field(pattern=r"^(random|blocks|(time|group):.+)$")] = Field(
        "random",
        description="'random'; 'time:<column>': the earliest rows are the train split and the latest the test split; "
        "'group:<column>': all rows of a group are in one split; 'blocks', the default with windows: the first time "
        "steps of each series are the train split, and the last ones the test split",
    )
    fractions: Fractions = Fractions()
    folds: Annotated[int, Field(ge=3, le=99)] | None = Field(
        None,
        description="number of folds F, odd, for few rows: the train and calibration splits are divided into F folds, "
        "and F models are trained, each without one fold, which calibrates it; the bundle is the mixture of these "
        "models, and its p-value is the median of theirs (docs/explanation/calibration.md). None: one model and one "
        "calibration split",
    )

    @model_validator(mode="after")
    def _written(self) -> DataConfig:
        if self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands are both {self.decimal!r}: set thousands = '.', for example")
        return self

    @model_validator(mode="after")
    def _windowed(self) -> DataConfig:
        if self.window is None:
            for name in ("stride", "time", "series_column", "gap"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} is for windows of a series: set window too, or leave {name} out")
            if self.split == "blocks":
                raise ValueError("split 'blocks' is for windows of a series: set window too, or another split")
            return self
        if "split" not in self.model_fields_set:
            object.__setattr__(self, "split", "blocks")  # the default with windows
        if self.folds is not None:
            raise ValueError(
                "folds take rows at random, but windows that overlap would be on both sides: leave out folds or window"
            )
        if self.read != "memory":
            raise ValueError(f"window needs all rows in memory: set read = 'memory', not '{self.read}'")
        if self.gap is not None and self.time is None:
            raise ValueError("gap is a difference of times: set time too, or leave gap out")
        if self.time is not None and self.time == self.series_column:
            raise ValueError(f"time and series_column are both '{self.time}': set the column of each")
        self._check_split_of_windows()
        return self

    def _check_split_of_windows(self) -> None:
        known = ["blocks"]
        known += [f"time:{self.time}"] if self.time is not None else []
        known += [f"group:{self.series_column}"] if self.series_column is not None else []
        if self.split not in known:
            raise ValueError(
                f"split '{self.split}': windows that overlap would be in two splits; with windows set "
                + " or ".join(map(repr, known))
            )

    @model_validator(mode="after")
    def _streamed(self) -> DataConfig:
        if self.read == "stream" and self.split != "random":
            raise ValueError(f"split '{self.split}' needs all rows at once: set read = 'memory'")
        return self

    @model_validator(mode="after")
    def _folded(self) -> DataConfig:
        if self.folds is None:
            return self
        if self.folds % 2 == 0:
            raise ValueError(f"folds {self.folds} is even: set an odd number, so that the p-values have a median")
        if self.split != "random":
            raise ValueError(f"folds need split 'random', not '{self.split}': leave one of them out")
        if self.read == "stream":
            raise ValueError("folds are for few rows: set read = 'memory'")
        return self
