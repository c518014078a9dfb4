# Loads the detector into the server: tensors in, scores, p-values and verdicts out.
import joblib
import numpy as np
import pandas as pd
from mlserver import MLModel
from mlserver.codecs import PandasCodec
from mlserver.errors import InferenceError
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import get_model_uri


class Detector(MLModel):
    async def load(self) -> bool:
        self.saved = joblib.load(await get_model_uri(self.settings))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        try:
            rows = PandasCodec.decode_request(payload)[self.saved["columns"]].astype(float)
        except (KeyError, ValueError) as exc:
            raise InferenceError(str(exc)) from exc
        scores = self.saved["model"].decision_function(rows.to_numpy())
        held_out = self.saved["held_out"]
        at_least = len(held_out) - np.searchsorted(held_out, scores, side="left")
        p_value = (1 + at_least) / (1 + len(held_out))
        alpha = payload.parameters.model_dump().get("alpha", 0.05)
        found = pd.DataFrame({"score": scores, "p_value": p_value, "is_anomaly": p_value <= alpha})
        return PandasCodec.encode_response(self.name, found)
