"""The arguments and the output that all arms share."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any


def parse_arguments() -> argparse.Namespace:
    """Parse the command line that all arms share."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--num-samples", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--batch", type=int, default=32, help="PyOD's batch size (default: PyOD's own)")
    parser.add_argument("--bare", action="store_true", help="write scores without the input's columns")
    return parser.parse_args()


class Stopwatch:
    """Measures wall-clock seconds of a block. CPU seconds would add up over threads."""

    def __enter__(self) -> Stopwatch:
        self._start = perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = perf_counter() - self._start


def print_result(rows: int, seconds: float, **more: Any) -> None:
    """Print the result as the last line."""
    sys.stdout.write("\n" + json.dumps({"rows": rows, "seconds": seconds, **more}) + "\n")
