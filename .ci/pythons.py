"""Runs the tests that need no torch on further versions of Python, each in its own virtual environment.

pythons.py --venvs FOLDER [--python PYTHON]... [arguments of pytest]
  --python: an interpreter; by default those of 3.12 and 3.13 that are found, on PATH or in pyenv
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tomllib
from pathlib import Path

from floors import requirements_of_tests

VERSIONS = ("3.12", "3.13")
EXTRAS = ("cpu", "service", "arrow", "traces", "scoring", "hub")
FOLDERS = ("bundle", "tabular", "client", "storage", "runtime", "scoring", "service", "cli")
PYTEST = ("--numprocesses", "auto", "--maxprocesses", "4", "--dist", "loadfile", "-m", "not slow and not deploy")


def found() -> list[str]:
    """The interpreters of VERSIONS, at most one of each."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for_each = [[f"python{v}", *map(str, sorted(pyenv.glob(f"{v}.*/bin/python")))] for v in VERSIONS]
    return [next(filter(_runs, candidates), "") for candidates in for_each]


def _runs(python: str) -> bool:
    """Whether an interpreter starts and can make a virtual environment; pyenv's shims are found but may not start."""
    check = [python, "-c", "import ensurepip, venv"]
    return shutil.which(python) is not None and subprocess.run(check, capture_output=True).returncode == 0


def requirements() -> list[str]:
    """What the tests import, and the extra `training` without torch, whose default build is large."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    training = project["optional-dependencies"]["training"]
    return [*requirements_of_tests(project), *(line for line in training if not line.startswith("torch"))]


def run_tests(python: str, venv: Path, arguments: list[str]) -> int:
    """Install the clone without torch into a new environment and run the tests there; the exit code of pytest."""
    subprocess.run([python, "-m", "venv", "--clear", str(venv)], check=True)
    inside = str(venv / "bin" / "python")
    pip = [inside, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--constraint", "constraints.txt"]
    subprocess.run([*pip, "pip", "setuptools"], check=True)
    package = ["--no-build-isolation", "--editable", f".[{','.join(EXTRAS)}]"]
    subprocess.run([*pip, *package, *requirements()], check=True)
    tests = [f"tests/{folder}" for folder in FOLDERS]
    return subprocess.run([inside, "-m", "pytest", *tests, *PYTEST, *arguments]).returncode


def main() -> None:
    """Run the tests on each interpreter; exit with 1 if a test failed on any of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venvs", type=Path, required=True)
    parser.add_argument("--python", action="append")
    options, arguments = parser.parse_known_args()
    pythons = options.python or [python for python in found() if python]
    if not pythons:
        raise SystemExit(f"no interpreter of Python {' or '.join(VERSIONS)} was found: name one with --python")
    failed = []
    for number, python in enumerate(pythons):
        print(f"== {python}", flush=True)
        if run_tests(python, options.venvs / str(number), arguments) != 0:
            failed.append(python)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
