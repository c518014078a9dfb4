"""What every arm is told and what it prints. Knows arguments and clocks, not who scores."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any


def told() -> argparse.Namespace:
    """The command line of every arm: a bundle, a folder of Parquet, K, threads, and a place to write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--num-samples", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--batch", type=int, default=32, help="PyOD's rows of a batch; its own default")
    parser.add_argument("--bare", action="store_true", help="leave the input's columns out of the output")
    return parser.parse_args()


class Wall:
    """Seconds on the wall, since threads share the work."""

    def __enter__(self) -> Wall:
        self._start = perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = perf_counter() - self._start


def answer(rows: int, seconds: float, **more: Any) -> None:
    """Print what was measured, as the last line."""
    sys.stdout.write("\n" + json.dumps({"rows": rows, "seconds": seconds, **more}) + "\n")
