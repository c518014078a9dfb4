"""Runs the tests with the lowest versions of the dependencies that pyproject.toml allows.

floors.py --venv FOLDER [arguments of pytest]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

EXTRAS = ("cpu", "service", "scoring", "training")
TOOLS = ("build", "import-linter", "mypy", "ruff", "types-")  # in dev, but not needed by the tests


def floors(project: dict[str, Any]) -> list[str]:
    """`name==version` with the lower bound of every direct dependency, except those of dev and gpu."""
    extras = project["optional-dependencies"]
    direct = [*project["dependencies"], *(line for extra in EXTRAS for line in extras[extra])]
    return sorted({_floor(Requirement(line)) for line in direct})


def requirements_of_tests(project: dict[str, Any]) -> list[str]:
    """The requirements of the tests: those of dev and docs, without the tools of `make check`."""
    extras = project["optional-dependencies"]
    return [line for line in (*extras["dev"], *extras["docs"]) if not line.startswith(TOOLS)]


def _floor(requirement: Requirement) -> str:
    lower = [part.version for part in requirement.specifier if part.operator == ">="]
    if len(lower) != 1:
        raise SystemExit(f"pyproject.toml: {requirement}: expected exactly one lower bound (>=)")
    # For torch the lower bound is a minor release: `==2.13.*` allows every build that PIP_ARGS may select.
    return f"{requirement.name}=={lower[0]}{'.*' if requirement.name == 'torch' else ''}"


def main() -> None:
    """Create the environment, print the pinned versions, and run pytest in the environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, required=True)
    options, arguments = parser.parse_known_args()
    python = str(options.venv / "bin" / "python")
    pins = options.venv.with_suffix(".txt")
    pins.parent.mkdir(parents=True, exist_ok=True)
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    pins.write_text("\n".join(floors(project)) + "\n")
    print(pins.read_text())
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(options.venv)], check=True)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--upgrade"]
    subprocess.run([*pip, "pip", "setuptools"], check=True)
    package = ["--no-build-isolation", "--editable", f".[{','.join(EXTRAS)}]"]
    subprocess.run([*pip, "--constraint", str(pins), *package, *requirements_of_tests(project)], check=True)
    os.execv(python, [python, "-m", "pytest", *arguments])


if __name__ == "__main__":
    main()
