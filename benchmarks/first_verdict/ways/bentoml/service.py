# Serves the detector: a CSV in, scores, p-values and verdicts out.
from pathlib import Path

import bentoml
import joblib
import numpy as np
import pandas as pd
from bentoml.exceptions import InvalidArgument


@bentoml.service
class Detector:
    def __init__(self) -> None:
        self.saved = joblib.load("model.joblib")

    @bentoml.api
    def score(self, rows: Path, alpha: float = 0.05) -> str:
        try:
            found = pd.read_csv(rows)[self.saved["columns"]].astype(float)
        except (KeyError, ValueError) as exc:
            raise InvalidArgument(str(exc)) from exc
        scores = self.saved["model"].decision_function(found.to_numpy())
        held_out = self.saved["held_out"]
        at_least = len(held_out) - np.searchsorted(held_out, scores, side="left")
        p_value = (1 + at_least) / (1 + len(held_out))
        verdicts = pd.DataFrame({"score": scores, "p_value": p_value, "is_anomaly": p_value <= alpha})
        return verdicts.to_csv(index=False)
