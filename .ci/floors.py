"""Runs the suite on the lowest versions that pyproject.toml admits. Knows the floors, not what needs them.

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
TOOLS = ("build", "import-linter", "mypy", "ruff", "types-")  # of dev, but the suite does without them


def floors(project: dict[str, Any]) -> list[str]:
    """`name==version` for the lower bound of every direct dependency, those of dev and gpu apart."""
    extras = project["optional-dependencies"]
    direct = [*project["dependencies"], *(line for extra in EXTRAS for line in extras[extra])]
    return sorted({_floor(Requirement(line)) for line in direct})


def of_the_suite(project: dict[str, Any]) -> list[str]:
    """What the tests themselves need."""
    return [line for line in project["optional-dependencies"]["dev"] if not line.startswith(TOOLS)]


def _floor(requirement: Requirement) -> str:
    lower = [part.version for part in requirement.specifier if part.operator == ">="]
    if len(lower) != 1:
        raise SystemExit(f"{requirement}: no floor")
    # A floor of torch is a minor release: `==2.13.*` admits the builds that PIP_ARGS may choose.
    return f"{requirement.name}=={lower[0]}{'.*' if requirement.name == 'torch' else ''}"


def main() -> None:
    """Make the environment, print what it holds, run pytest in it."""
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
    subprocess.run([*pip, "--constraint", str(pins), *package, *of_the_suite(project)], check=True)
    os.execv(python, [python, "-m", "pytest", *arguments])


if __name__ == "__main__":
    main()
