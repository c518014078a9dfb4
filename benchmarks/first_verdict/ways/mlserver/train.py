# Fits the detector on three quarters of the rows, and keeps the scores of the others.
import joblib
import numpy as np
import pandas as pd
from pyod.models.iforest import IForest
from sklearn.model_selection import train_test_split

rows = pd.read_csv("train.csv")
train, calibration = train_test_split(rows, test_size=0.25, random_state=0)
model = IForest(random_state=0).fit(train.to_numpy())
held_out = np.sort(model.decision_function(calibration.to_numpy()))
joblib.dump({"model": model, "held_out": held_out, "columns": list(rows)}, "model.joblib")
