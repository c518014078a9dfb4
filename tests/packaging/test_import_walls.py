"""Importing a module does not load heavy packages; each import runs in a new process.

The allowed imports between our packages are checked by import-linter, see pyproject.toml.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

APPLICATIONS = {"vaekit_service", "vaekit_training"}
WEB = {"fastapi", "starlette", "uvicorn", "prometheus_client"}
LEARNING = {"torch", "onnx", "sklearn", "scipy", "matplotlib"}
HEAVY = LEARNING | WEB | APPLICATIONS

WALLS = [
    ("vaekit", HEAVY | {"numpy", "pydantic", "httpx", "onnxruntime", "typer", "rich"}),
    ("vaekit.errors", HEAVY | {"numpy", "pydantic"}),
    ("vaekit.bundle", HEAVY | {"onnxruntime", "httpx", "pyarrow", "PIL", "typer", "rich"}),
    ("vaekit.tabular", HEAVY | {"onnxruntime", "httpx", "pyarrow", "PIL", "typer", "rich", "vaekit.runtime"}),
    ("vaekit.tabular.frames", HEAVY | {"onnxruntime", "httpx", "pyarrow", "pandas", "polars", "vaekit.runtime"}),
    ("vaekit.losses", HEAVY | {"numpy", "pydantic", "onnxruntime", "httpx", "typer", "rich"}),
    ("vaekit.runtime", HEAVY | {"httpx", "pyarrow", "PIL", "typer", "rich", "vaekit.client"}),
    ("vaekit.client", HEAVY | {"onnxruntime", "pyarrow", "typer", "vaekit.runtime"}),
    ("vaekit.client.wire", HEAVY | {"onnxruntime", "httpx", "numpy"}),
    ("vaekit.scoring", HEAVY | {"typer"}),
    ("vaekit.cli", HEAVY | {"onnxruntime", "pyarrow", "httpx", "vaekit.runtime", "vaekit.scoring"}),
    ("vaekit.detector", HEAVY | {"onnxruntime", "httpx", "pyarrow", "PIL", "typer", "rich", "vaekit.client"}),
    ("vaekit_service.app", LEARNING | {"vaekit_training", "httpx", "pyarrow", "typer", "vaekit.scoring", "vaekit.cli"}),
    ("vaekit_service.codecs.arrow.codec", LEARNING | {"vaekit_training", "pyarrow"}),
    (
        "vaekit.tabular.arrow_columns",
        HEAVY | {"onnxruntime", "httpx", "PIL", "typer", "vaekit.runtime", "vaekit.client"},
    ),
    ("vaekit_service.settings", LEARNING | {"vaekit_training", "fastapi", "onnxruntime"}),
    ("vaekit_training.config", WEB | {"vaekit_service", "httpx", "vaekit.client", "vaekit.scoring", "vaekit.cli"}),
    ("vaekit_training.export", WEB | {"vaekit_service", "httpx", "vaekit.client", "vaekit.scoring", "vaekit.cli"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("module", "walls"), WALLS, ids=[module for module, _ in WALLS])
def test_an_import_does_not_load_the_packages_it_must_not_need(module: str, walls: set[str]) -> None:
    code = f"import sys, {module}; print(*sorted({walls!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == ([], "")


def test_every_forbidden_module_can_be_imported() -> None:
    names = sorted({name for _, walls in WALLS for name in walls})
    code = f"import importlib.util as u; print(*[n for n in {names!r} if u.find_spec(n) is None])"
    missing = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert missing == []
