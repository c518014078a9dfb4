"""Bundles in MLflow: a logged run with params, metrics and report, and the model as a pyfunc that MLflow can serve::

    with mlflow.start_run():
        vaekit.mlflow.log_model("models/breast-cancer")
    mlflow.pyfunc.load_model(uri).predict(frame, params={"alpha": 0.01})  # elbo, score, p_value, is_anomaly

A pyfunc is the bundle itself and the name of this module; nothing is pickled. `mlflow models serve` needs pandas.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vaekit._version import __version__
from vaekit.bundle.calibration import check_alpha
from vaekit.bundle.input_spec import ImageSpec
from vaekit.bundle.manifest import Manifest
from vaekit.bundle.models_folder import bundle_folder
from vaekit.bundle.read import open_bundle, read_manifest
from vaekit.errors import InputError, MissingExtra
from vaekit.runtime import Model

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # MLflow 3 sends usage data unless this is set

if TYPE_CHECKING:
    import pandas as pd

ALPHA = 0.05  # default false-alarm rate of is_anomaly, as in the service
LOADER = "vaekit.mlflow"
LONGEST = 6000  # characters of a param
_REPORT = "report"
_UNNAMEABLE = re.compile(r"[^\w\-. :/]")  # characters that MLflow refuses in the names of params and metrics


def log_run(
    bundle: Path | str, *, experiment: str | None = None, registered_model_name: str | None = None
) -> tuple[str, str]:
    """Log a bundle as a finished run: its config, its figures, its report and the model.

    Args:
        bundle: folder of a bundle, or of a model, of which the version that is used is taken.
        experiment: name of the experiment; None: MLflow's default.
        registered_model_name: name in the model registry, which gets a new version; None: not registered.

    Returns:
        The id of the run, and the URI of the model.

    Raises:
        BundleError: the bundle is invalid.
        MissingExtra: MLflow is not installed.
    """
    mlflow = _mlflow()
    folder = bundle_folder(Path(bundle))
    manifest = read_manifest(folder)
    if experiment is not None:
        mlflow.set_experiment(experiment)
    with mlflow.start_run(run_name=f"{manifest.name}@{manifest.version}") as run:
        mlflow.log_params(params_of(manifest))
        mlflow.log_metrics(metrics_of(manifest))
        mlflow.set_tags(tags_of(manifest))
        if (folder / _REPORT).is_dir():
            mlflow.log_artifacts(str(folder / _REPORT), _REPORT)
        info = log_model(folder, registered_model_name=registered_model_name)
    return str(run.info.run_id), str(info.model_uri)


def log_model(bundle: Path | str, name: str = "model", **given: Any) -> Any:
    """Log a bundle as a pyfunc model of the active run; returns MLflow's ModelInfo.

    Args:
        bundle: as in log_run.
        name: of the logged model.
        given: further arguments of mlflow.pyfunc.log_model.

    Raises:
        BundleError: the bundle is invalid.
        MissingExtra: MLflow is not installed.
    """
    mlflow = _mlflow()
    folder = bundle_folder(Path(bundle))
    open_bundle(folder).close()  # verifies it
    return mlflow.pyfunc.log_model(name=name, **{**_pyfunc(folder), **given})


def save_model(bundle: Path | str, path: Path | str, **given: Any) -> None:
    """Save a bundle as a pyfunc model in a local folder. Args, raises: see log_model."""
    mlflow = _mlflow()
    folder = bundle_folder(Path(bundle))
    open_bundle(folder).close()
    mlflow.pyfunc.save_model(path=str(path), **{**_pyfunc(folder), **given})


def load_model(uri: str, **options: Any) -> Model:
    """The vaekit.Model of a logged model, with all its operations.

    Args:
        uri: of MLflow, such as models:/cancer/1 or runs:/<id>/model.
        options: arguments of Model.load, such as device.

    Raises:
        InputError: the model is of another flavour.
        BundleError, DeviceError: see Model.load.
        MissingExtra: MLflow is not installed.
    """
    mlflow = _mlflow()
    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
    flavour = mlflow.models.Model.load(str(folder)).flavors.get("python_function", {})
    if flavour.get("loader_module") != LOADER:
        raise InputError(f"{uri}: not a bundle; expected a model that vaekit.mlflow.log_model logged")
    return Model.load(folder / flavour["data"], **options)


class Scorer:
    """What MLflow calls: rows in, a frame with one row of scores for each."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def predict(self, rows: Any, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """elbo, score (-elbo: higher is more anomalous), p_value and is_anomaly of each row, in nats.

        p_value and is_anomaly are null without a calibration. The frame has the index of the rows, if they are a frame.

        Args:
            rows: a frame with the columns of the model, in any order, or whatever Model.elbo takes.
            params: alpha, the false-alarm rate of is_anomaly, by default 0.05.

        Raises:
            InputError: invalid rows or alpha.
        """
        import pandas as pd

        alpha = float((params or {}).get("alpha", ALPHA))
        check_alpha(alpha)
        bound = self.model.bound(rows)
        nothing = [None] * len(bound.elbo)
        columns: dict[str, Any] = {"elbo": bound.elbo, "score": bound.score, "p_value": nothing, "is_anomaly": nothing}
        if bound.p_value is not None:
            columns |= {"p_value": bound.p_value, "is_anomaly": self._flags(rows, bound.p_value, alpha)}
        return pd.DataFrame(columns, index=rows.index if isinstance(rows, pd.DataFrame) else None)

    def _flags(self, rows: Any, p_value: NDArray[np.float64], alpha: float) -> NDArray[Any]:
        """is_anomaly after the tolerance rules of the bundle, (N,); None for a row without a p-value."""
        flags = p_value <= alpha
        if self.model.manifest.ignore:
            flags &= ~np.array([bool(rules) for rules in self.model.tolerated(rows, alpha=alpha)], dtype=bool)
        if not (unknown := np.isnan(p_value)).any():
            return flags
        known = flags.astype(object)
        known[unknown] = None
        return known


def set_tracking(uri: str | None) -> None:
    """Use this MLflow server for runs and registry; None: as the environment says."""
    mlflow = _mlflow()
    if uri is not None:
        mlflow.set_tracking_uri(uri)


def _load_pyfunc(path: str) -> Scorer:
    """Called by MLflow with the path of the bundle in a saved model."""
    return Scorer(Model.load(path))


def params_of(manifest: Manifest) -> dict[str, str]:
    """The training config of a bundle as params: network.latent_dim, for example."""
    found = {"seed": manifest.provenance.seed} | _flat(manifest.provenance.config)
    return {_UNNAMEABLE.sub("_", name): _text(value)[:LONGEST] for name, value in found.items() if value is not None}


def metrics_of(manifest: Manifest) -> dict[str, float]:
    """The figures of a bundle, and their standard errors under the same names with _standard_error."""
    found = {}
    for name, metric in manifest.metrics.items():
        plain = _UNNAMEABLE.sub("_", name)
        found[plain] = metric.value
        if metric.standard_error is not None:
            found[f"{plain}_standard_error"] = metric.standard_error
    return found


def tags_of(manifest: Manifest) -> dict[str, str]:
    """Where a bundle came from."""
    made = manifest.provenance
    rows = ", ".join(f"{name} {count}" for name, count in made.rows.items())
    tags = {
        "model": f"{manifest.name}@{manifest.version}",
        "format": manifest.format,
        "data": made.data,
        "data_sha256": made.data_sha256,
        "rows": rows,
        "commit": made.commit,
        "parent": made.parent,
    }
    return {f"vaekit.{name}": str(value) for name, value in tags.items() if value}


def _pyfunc(folder: Path) -> dict[str, Any]:
    """The arguments with which MLflow saves a bundle."""
    return {
        "loader_module": LOADER,
        "data_path": str(folder),
        "signature": _signature(read_manifest(folder)),
        "pip_requirements": [f"vaekit[cpu]=={__version__}", "pandas"],
    }


def _signature(manifest: Manifest) -> Any:
    """Input, output and params as MLflow describes them. Columns have any type: Model says which cells it takes."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec

    spec = manifest.input
    if isinstance(spec, ImageSpec):
        inputs = Schema([TensorSpec(np.dtype("uint8"), (-1, *spec.row_shape))])
    else:
        beside = () if spec.window is None else spec.window.beside  # the time and the series of a row
        columns = [ColSpec(AnyType(), one.name, required=not one.may_be_missing) for one in spec.step.columns]
        inputs = Schema([*columns, *(ColSpec(AnyType(), name, required=False) for name in beside)])
    outputs = Schema(
        [
            *(ColSpec("double", name) for name in ("elbo", "score")),
            ColSpec("double", "p_value", required=False),
            ColSpec("boolean", "is_anomaly", required=False),
        ]
    )
    return ModelSignature(inputs, outputs, ParamSchema([ParamSpec("alpha", "double", ALPHA)]))


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _mlflow() -> Any:
    try:
        import mlflow
        import mlflow.pyfunc
    except ImportError as exc:
        raise MissingExtra("mlflow is not installed: pip install 'mlflow>=3.1'") from exc
    return mlflow
