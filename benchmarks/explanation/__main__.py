"""Measures how often explanations rank a wrong cell first, and how close expected values are to the original ones.

    python -m benchmarks.explanation --data DIR [--quick] [--jobs N] [--set KEY=VALUE ...] [--out FILE]

DIR holds NAME.npz with X (n, D) and y (n,), where 0 is normal. Only normal rows are used, at most --rows of each set. A
fifth of them are test rows, and one cell of each is made wrong. The ranking is compared with |z| and PyOD's ECOD.
ECOD is installed by pip into its own environment. The result of each set is saved in a folder beside FILE, and a run
with the same settings resumes from there.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks import venvs
from benchmarks.explanation.one import MODELS, Answer, Job, run_or_load
from benchmarks.explanation.plant import WAYS
from benchmarks.report import Figure, publish

QUICK = ("43_WDBC", "39_vertebral", "29_Pima", "28_pendigits")
SIMPLE = ("|z|", "ECOD")
PACKAGES = ["torch", "onnxruntime", "numpy"]


def main(arguments: list[str]) -> None:
    """Measure set by set, write, print; results are written even if a later set fails."""
    options = _parser().parse_args(arguments)
    pyod = None if options.no_peers else venvs.make(venvs.PYOD, options.peers)
    paths = sorted(options.data.glob("*.npz"))
    if options.quick:
        paths = [path for path in paths if path.stem in QUICK]
    rows, models = 1000 if options.quick else options.rows, tuple(options.models)
    jobs = [Job(path, rows, models, tuple(options.set), pyod) for path in paths]
    answers: list[Answer] = []
    try:
        for answer in _answers(jobs, options.jobs, options.out.with_suffix("")):
            Console(stderr=True).print(f"{answer['set']}: {_hit_rates(answer['hits'])}", highlight=False)
            answers.append(answer)
    finally:
        if answers:
            facts: dict[str, Any] = {"quick": options.quick, "rows": rows, "set": options.set, "sets": answers}
            publish(options.out, f"Wrong cells, means over {len(answers)} sets", figures(answers), PACKAGES, **facts)


def _answers(jobs: Sequence[Job], processes: int, folder: Path) -> Iterator[Answer]:
    """The results of all sets that are large enough, in order."""
    work = partial(run_or_load, folder)
    if processes == 1:
        yield from filter(None, map(work, jobs))
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        yield from filter(None, pool.map(work, jobs))


def _hit_rates(hits: dict[str, dict[str, float]]) -> str:
    return "; ".join(f"{name} {' '.join(f'{rate:.2f}' for rate in by_way.values())}" for name, by_way in hits.items())


def figures(answers: Sequence[Answer]) -> list[Figure]:
    """Means and ranges over sets: hit rates by way, margins over the best simple method, errors of expected values."""
    names = list(answers[0]["hits"])
    found = []
    for way in WAYS:
        hits_of_sets = [answer["hits"] for answer in answers if way in answer["wrong"]]
        if not hits_of_sets:
            continue
        rates = {name: np.array([hits[name][way] for hits in hits_of_sets]) for name in names}
        best = max((name for name in SIMPLE if name in rates), key=lambda name: float(rates[name].mean()))
        found += [_mean(f"{way}: {name}", rate, "ranked first") for name, rate in rates.items()]
        for name in (name for name in names if name.startswith("relief")):
            margin = rates[name] - rates[best]
            found.append(
                _mean(f"{way}: {name}, minus {best}", margin, "more ranked first", target=0.0, better="higher")
            )
    return [*found, *_expected(answers)]


def _expected(answers: Sequence[Answer]) -> list[Figure]:
    units = {"off": "sd from truth", "pulled_off": "sd from truth", "covered": "of 90 % intervals"}
    words = {
        "off": "expected given the other cells",
        "pulled_off": "expected given the whole row",
        "covered": "intervals with the truth",
    }
    return [
        _mean(f"{way}: {model}, {words[name]}", np.array(values), unit)
        for name, unit in units.items()
        for model in answers[0]["expected"]
        for way in WAYS
        if (values := [a["expected"][model][way][name] for a in answers if way in a["wrong"]])
    ]


def _mean(name: str, values: Any, unit: str, **more: Any) -> Figure:
    return Figure(name, float(values.mean()), unit, float(values.min()), float(values.max()), **more)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explanation", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of NAME.npz with X and y")
    parser.add_argument("--quick", action="store_true", help=f"1,000 rows of {', '.join(QUICK)}")
    parser.add_argument(
        "--jobs", type=int, default=1, help="number of sets measured at the same time, each in its own process"
    )
    parser.add_argument("--rows", type=int, default=3000, help="largest number of normal rows of a set")
    parser.add_argument(
        "--models",
        nargs="+",
        default=list(MODELS),
        choices=MODELS,
        help="models to measure: the default recipe, or a VAE with a scale from the network or per feature",
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of training")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/explanation.json"))
    parser.add_argument("--peers", type=Path, default=Path("build/benchmarks/peers"), help="the peers' environments")
    parser.add_argument("--no-peers", action="store_true", help="leave ECOD out")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
