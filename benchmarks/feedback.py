"""Measures `vae feedback` on a large score log: seconds, and the peak of memory.

python -m benchmarks.feedback [--rows 10000000] [--labels 100000]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS_PER_FILE = 10**6
MEASURE = """
import resource, sys, time
from pathlib import Path
from vaekit.scoring.feedback.report import feedback
start = time.perf_counter()
found = feedback(Path(sys.argv[1]), Path(sys.argv[2]))
mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(f"{found.matched:,} labels matched, {time.perf_counter() - start:.1f} s, {mib} MiB at the peak")
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.feedback", description=__doc__)
    parser.add_argument("--rows", type=int, default=10**7)
    parser.add_argument("--labels", type=int, default=10**5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        log, labels = Path(work) / "log", Path(work) / "labels.csv"
        log.mkdir()
        rng = np.random.default_rng(0)
        for start in range(0, options.rows, ROWS_PER_FILE):
            pq.write_table(_log(start, min(ROWS_PER_FILE, options.rows - start), rng), log / f"scores-{start}.parquet")
        ids = rng.choice(options.rows, options.labels, replace=False)
        labels.write_text("id,label\n" + "".join(f"{i},{int(i % 10 == 0)}\n" for i in ids))
        subprocess.run([sys.executable, "-c", MEASURE, str(labels), str(log)], check=True)


def _log(start: int, n: int, rng: np.random.Generator) -> pa.Table:
    ids = np.arange(start, start + n)
    p_value = rng.random(n)
    return pa.table(
        {
            "time": pa.array(ids).cast(pa.timestamp("us", "UTC")),
            "request_id": pa.array(np.char.add("r", ids.astype(str))),
            "row": pa.array(np.zeros(n, np.int32)),
            "id": pa.array(ids.astype(str)),
            "model": pa.repeat("m", n),
            "version": pa.array(np.ones(n, np.int32)),
            "alpha": pa.repeat(0.05, n),
            "p_value": p_value,
            "score": -p_value,
            "is_anomaly": p_value <= 0.05,
        }
    )


if __name__ == "__main__":
    main()
