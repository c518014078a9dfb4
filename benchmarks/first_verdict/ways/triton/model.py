# Loads the detector into the server: tensors in, scores, p-values and verdicts out.
import json
from pathlib import Path

import joblib
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.saved = joblib.load(Path(args["model_repository"]) / args["model_version"] / "model.joblib")
        parameters = json.loads(args["model_config"])["parameters"]
        self.alpha = float(parameters["alpha"]["string_value"])

    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        rows = pb_utils.get_input_tensor_by_name(request, "rows").as_numpy()
        try:
            scores = self.saved["model"].decision_function(rows)
        except ValueError as exc:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(exc)))
        held_out = self.saved["held_out"]
        at_least = len(held_out) - np.searchsorted(held_out, scores, side="left")
        p_value = (1 + at_least) / (1 + len(held_out))
        found = {"score": scores, "p_value": p_value, "is_anomaly": p_value <= self.alpha}
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, values) for name, values in found.items()])
