# Serves the detector: a CSV in, scores, p-values and verdicts out.
import io

import joblib
import numpy as np
import pandas as pd
from fastapi import FastAPI, HTTPException, Request, Response

app = FastAPI()
saved = joblib.load("model.joblib")


@app.post("/score")
async def score(request: Request, alpha: float = 0.05) -> Response:
    try:
        rows = pd.read_csv(io.BytesIO(await request.body()))[saved["columns"]].astype(float)
    except (KeyError, ValueError) as exc:
        raise HTTPException(422, str(exc)) from exc
    scores = saved["model"].decision_function(rows.to_numpy())
    held_out = saved["held_out"]
    at_least = len(held_out) - np.searchsorted(held_out, scores, side="left")
    p_value = (1 + at_least) / (1 + len(held_out))
    found = pd.DataFrame({"score": scores, "p_value": p_value, "is_anomaly": p_value <= alpha})
    return Response(found.to_csv(index=False), media_type="text/csv")
