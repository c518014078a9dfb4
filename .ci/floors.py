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

from packaging.requirements import Requirement

EXTRAS = ("cpu", "service", "scoring", "training")


def floors(project: Path) -> list[str]:
    """`name==version` for the lower bound of every direct dependency, those of dev and gpu apart."""
    table = tomllib.loads(project.read_text())["project"]
    extras = table["optional-dependencies"]
    direct = [*table["dependencies"], *(line for extra in EXTRAS for line in extras[extra])]
    return sorted({_floor(Requirement(line)) for line in direct})


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
    pins.write_text("\n".join(floors(Path("pyproject.toml"))) + "\n")
    print(pins.read_text())
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(options.venv)], check=True)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--upgrade"]
    subprocess.run([*pip, "pip", "setuptools"], check=True)
    names = ",".join((*EXTRAS, "dev"))
    subprocess.run([*pip, "--no-build-isolation", "--constraint", str(pins), "--editable", f".[{names}]"], check=True)
    os.execv(python, [python, "-m", "pytest", *arguments])


if __name__ == "__main__":
    main()
