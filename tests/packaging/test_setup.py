"""The set-up of the make targets: pins match the dependencies, and errors say what to do."""

from __future__ import annotations

import re
import subprocess
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
SETS = dict(re.findall(r"^\$\(VENV\)/ready-(\w+): EXTRAS := (\S+)$", MAKEFILE, re.MULTILINE))


def pins(file: str = "constraints.txt") -> dict[str, Requirement]:
    """The pins of a constraints file, by name of the distribution."""
    lines = [line.split("#")[0].strip() for line in (ROOT / file).read_text().splitlines()]
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines if line}


def needed(name: str, extras: frozenset[str]) -> set[str]:
    """Every distribution that installing name[extras] requires, according to the installed metadata."""
    todo, seen = [(name, extras)], set()
    while todo:
        current, wanted = todo.pop()
        if (current, wanted) in seen:
            continue
        seen.add((current, wanted))
        for requirement in map(Requirement, metadata.requires(current) or []):
            environments = [{"extra": extra} for extra in wanted or {""}]
            if requirement.marker is None or any(map(requirement.marker.evaluate, environments)):
                todo.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return {found for found, _ in seen} - {name}


def everything() -> set[str]:
    """The distributions of the largest set, pip and setuptools, without the CUDA libraries that torch chooses."""
    found = needed("vaekit", frozenset(SETS["all"].split(","))) | {"pip", "setuptools"}
    return {name for name in found if not name.startswith(("nvidia-", "cuda-", "triton"))}


def test_every_installed_distribution_is_pinned() -> None:
    assert sorted(everything() - set(pins())) == []


def test_every_pinned_distribution_is_installed() -> None:
    assert sorted(set(pins()) - everything()) == []


def test_every_pin_except_that_of_torch_is_exact() -> None:
    loose = {name: str(pin.specifier) for name, pin in pins().items() if not str(pin.specifier).startswith("==")}
    assert loose == {"torch": "<2.14,>=2.13"}


def test_the_pins_of_the_gpu_extra_are_in_their_own_file() -> None:
    gpu = pins("constraints-gpu.txt")
    assert "onnxruntime-gpu" in gpu
    assert all(str(pin.specifier).startswith("==") for pin in gpu.values())
    assert not set(gpu) & set(pins())
    assert gpu["onnxruntime-gpu"].specifier == pins()["onnxruntime"].specifier


def test_every_dependency_has_a_lower_bound_that_its_pin_satisfies() -> None:
    known = pins() | pins("constraints-gpu.txt")
    for requirement in map(Requirement, metadata.requires("vaekit") or []):
        assert ">=" in str(requirement.specifier), requirement
        for pin in known[canonicalize_name(requirement.name)].specifier:
            assert pin.operator == "<" or requirement.specifier.contains(pin.version), requirement


def test_the_service_extra_installs_no_package_of_training() -> None:
    assert SETS["serve"] == "cpu,service"
    brought = needed("vaekit", frozenset(SETS["serve"].split(",")))
    assert not brought & {"torch", "onnx", "scikit-learn", "matplotlib", "pyarrow", "onnxruntime-gpu"}
    assert {"onnxruntime", "fastapi", "uvicorn"} <= brought


def test_make_without_a_target_lists_all_targets() -> None:
    shown = subprocess.run(["make"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    (phony,) = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    assert sorted(re.findall(r"^make ([\w-]+)", shown, re.MULTILINE)) == sorted(phony.split())


def fake_python(folder: Path, version: str, *, venv: bool) -> Path:
    """A script that answers like a Python when the set-up calls it."""
    old = version in ("3.9", "3.10")
    script = folder / "fake-python"
    script.write_text(
        "#!/bin/sh\n"
        'case "$2" in\n'
        f"  *print*) echo {version} ;;\n"
        f"  *version_info*) exit {int(old)} ;;\n"
        f"  *ensurepip*) exit {int(not venv)} ;;\n"
        "esac\n"
    )
    script.chmod(0o755)
    return script


def set_up(python: Path | str, folder: Path) -> tuple[int, str]:
    """Exit code and error message of .ci/venv.sh."""
    command = ["sh", str(ROOT / ".ci" / "venv.sh"), str(python), str(folder / "venv")]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stderr


def test_an_old_python_is_refused_with_its_version_and_a_remedy(tmp_path: Path) -> None:
    python = fake_python(tmp_path, "3.10", venv=True)
    code, message = set_up(python, tmp_path)
    assert code == 1
    assert f"{python} is Python 3.10, but 3.11 or newer is needed" in message
    assert "make PYTHON=" in message


def test_a_python_without_venv_is_refused_with_the_package_to_install(tmp_path: Path) -> None:
    code, message = set_up(fake_python(tmp_path, "3.12", venv=False), tmp_path)
    assert code == 1
    assert "apt-get install python3.12-venv" in message


def test_a_missing_python_is_a_one_line_error(tmp_path: Path) -> None:
    code, message = set_up("no-such-python", tmp_path)
    assert (code, message.count("\n")) == (1, 1)
    assert "no-such-python was not found: install Python 3.11 or newer" in message
