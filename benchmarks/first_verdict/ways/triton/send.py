# Sends the CSV to the server, and prints the verdicts as CSV.
import joblib
import pandas as pd
import tritonclient.http as triton

rows = pd.read_csv("new.csv")[joblib.load("model.joblib")["columns"]]
client = triton.InferenceServerClient("127.0.0.1:8000")
tensor = triton.InferInput("rows", list(rows.shape), "FP64")
tensor.set_data_from_numpy(rows.to_numpy())
reply = client.infer("detector", [tensor])
names = ("score", "p_value", "is_anomaly")
print(pd.DataFrame({name: reply.as_numpy(name) for name in names}).to_csv(index=False), end="")
