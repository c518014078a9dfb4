"""The repository's own files agree with the project: workflow, hooks, citation, templates."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import yaml

from vaekit import __version__

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def read(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


def test_the_workflow_tests_every_python_that_the_project_declares() -> None:
    declared = [line.rsplit(" ", 1)[1] for line in PROJECT["classifiers"] if "Python :: 3." in line]
    assert read(".github/workflows/ci.yml")["jobs"]["test"]["strategy"]["matrix"]["python"] == declared
    assert PROJECT["requires-python"] == f">={declared[0]}"


def test_the_workflow_runs_targets_that_the_makefile_has() -> None:
    makefile = (ROOT / "Makefile").read_text()
    jobs = read(".github/workflows/ci.yml")["jobs"].values()
    runs = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    assert {"make check", "make test", "bash .ci/run"} == set(runs)
    assert all(f"\n{run.split()[1]}: " in makefile for run in runs if run.startswith("make "))


def test_the_workflow_reads_package_indexes_from_repository_variables() -> None:
    assert read(".github/workflows/ci.yml")["env"] == {
        name: f"${{{{ vars.{name} }}}}" for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")
    }


def test_the_hooks_run_the_commands_of_make_check() -> None:
    hooks = [hook["entry"].split()[0] for repo in read(".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    assert set(hooks) == {f".venv/bin/{tool}" for tool in ("ruff", "mypy", "lint-imports")}


def test_the_citation_has_the_current_version() -> None:
    citation = read("CITATION.cff")
    assert (citation["version"], citation["license"]) == (__version__, PROJECT["license"].split(" AND ")[0])


def test_issue_forms_have_the_required_keys() -> None:
    for path in sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")):
        form = yaml.safe_load(path.read_text())
        assert {"name", "description", "body"} <= set(form), path
        assert all(part["attributes"]["label"] for part in form["body"]), path
