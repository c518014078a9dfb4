"""The JavaScript package gives the numbers of Python, talks to the service, and is complete as it is published."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.javascript.conftest import PACKAGE, run_in
from tests.live import serving
from tests.packaging.test_docs import URL, blocks
from vaekit._version import __version__
from vaekit_service.keys.key import entry, line, new_key

HOW_TO = (ROOT / "docs" / "how-to" / "use-from-javascript.md").read_text(encoding="utf-8")
REFERENCE = (ROOT / "docs" / "reference" / "javascript.md").read_text(encoding="utf-8")
RUNTIMES = ("onnxruntime-node", "onnxruntime-web")
TOLERANCE = 1e-5  # of scores, relative above 1 nat

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def node_test(package: Path, environment: dict[str, str], *files: str) -> str:
    """The output of node's test runner, which must not skip any test."""
    named = [str(Path("test") / f"{file}.test.js") for file in files]
    output = run_in(package, ["node", "--test", "--test-reporter=tap", *named], environment)
    assert re.search(r"^# skipped 0$", output, re.MULTILINE), output
    return output


def test_scores_p_values_and_verdicts_are_those_of_python(
    package: Path, cases: Path, node_environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    output = node_test(package, {**node_environment, "VAEKIT_CASES": str(cases)}, "parity")
    found = re.findall(r"largest difference, (\S+), (\S+): (\S+) \((.+)\)", output)
    terms = ("log_evidence", "elbo", "log_likelihood", "kl")
    assert [one[:2] for one in found] == [(runtime, term) for runtime in RUNTIMES for term in terms]
    assert all(0 <= float(difference) <= TOLERANCE for *_, difference, _ in found)
    with capsys.disabled():
        print("\nlargest difference between JavaScript and Python:", *(" ".join(one) for one in found), sep="\n  ")


def test_the_cases_have_novel_rows_removed_alarms_and_groups(cases: Path) -> None:
    read = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in (cases / "bundles").iterdir()}
    parts = {name: [part["expected"] for part in case["parts"]] for name, case in read.items()}
    assert all(sum(len(part["elbo"]) for part in each) >= 200 for each in parts.values())
    assert parts["windowed"][0]["elbo"].count(None) == 2 * 2 * 3  # of two machines, at the start and after a gap
    assert all(any(map(any, part["novel"])) for part in parts["kernel"])
    for name in ("kernel", "mixed-with-rules", "several-with-rules", "folded-with-rules"):
        assert any(any(part["verdicts"]["0.05"]["tolerated"]) for part in parts[name]), name
    assert len({group for part in parts["grouped"] for group in part["group"]}) > 3
    assert None in parts["sensors"][0]["elbo"]  # a bundle of format 1.0 cannot score novel rows


def test_cells_and_draws_are_those_of_python(package: Path, cases: Path, node_environment: dict[str, str]) -> None:
    node_test(package, {**node_environment, "VAEKIT_CASES": str(cases)}, "rules")


def test_the_package_passes_its_own_tests(package: Path, node_environment: dict[str, str]) -> None:
    node_test(package, node_environment, "client", "retries", "local", "series", "page", "browser")


@pytest.fixture(scope="module")
def key() -> str:
    return new_key()


@pytest.fixture(scope="module")
def url(models_dir: Path, key: str) -> Iterator[str]:
    """The address of a running service that requires the key."""
    with serving(models_dir, keys=line("js", entry(key, ["infer", "read"])), default_model="breast-cancer") as address:
        yield address


def test_the_client_calls_a_running_service(
    package: Path, node_environment: dict[str, str], url: str, key: str
) -> None:
    node_test(package, {**node_environment, "VAEKIT_URL": url, "VAEKIT_KEY": key}, "service")


def test_the_types_fit_the_code_and_a_typescript_program(package: Path, node_environment: dict[str, str]) -> None:
    run_in(package, ["npm", "run", "--silent", "check"], node_environment)


@pytest.fixture(scope="module")
def project(package: Path, node_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder in which the published package is installed, with the committed models."""
    folder = tmp_path_factory.mktemp("project")
    modules = folder / "node_modules"
    modules.mkdir()
    packed = json.loads(run_in(package, ["npm", "pack", "--json", "--pack-destination", str(folder)], node_environment))
    shutil.unpack_archive(folder / packed[0]["filename"], folder / "unpacked")
    (folder / "unpacked" / "package").rename(modules / "vaekit")
    for name in ("onnxruntime-node", "onnxruntime-web", "onnxruntime-common"):
        (modules / name).symlink_to(package / "node_modules" / name)
    (folder / "models").symlink_to(ROOT / "models")
    return folder


def test_the_published_package_has_its_sources_and_types_and_no_tests(project: Path) -> None:
    package = project / "node_modules" / "vaekit"
    files = {str(file.relative_to(package)) for file in package.rglob("*") if file.is_file()}
    sources = {
        str(file.relative_to(PACKAGE)) for folder in ("src", "types") for file in (PACKAGE / folder).rglob("*.*")
    }
    assert files == {*sources, "package.json", "README.md", "LICENSE"}


def test_without_onnx_runtime_the_error_says_what_to_install(
    project: Path, tmp_path: Path, node_environment: dict[str, str]
) -> None:
    shutil.copytree(project / "node_modules" / "vaekit", tmp_path / "node_modules" / "vaekit")
    code = f"""
        import {{ Bundle }} from "vaekit/local";
        const folder = "{ROOT}/models/digits/1";
        await Bundle.open(folder).catch(({{ name, message }}) => console.log(`${{name}}: ${{message}}`));
    """
    (tmp_path / "snippet.mjs").write_text(code, encoding="utf-8")
    said = run_in(tmp_path, ["node", "snippet.mjs"], node_environment)
    assert said.startswith("MissingPackage: ONNX Runtime is not installed: npm install onnxruntime-node")


@pytest.mark.parametrize("snippet", blocks(HOW_TO, "js"), ids=lambda code: code.splitlines()[0])
def test_every_snippet_of_the_how_to_page_runs(
    snippet: str, project: Path, node_environment: dict[str, str], url: str, key: str
) -> None:
    (project / "snippet.mjs").write_text(snippet.replace(URL, url), encoding="utf-8")
    run_in(project, ["node", "snippet.mjs"], {**node_environment, "VAE_API_KEY": key})


def test_the_package_has_the_version_of_the_python_package() -> None:
    package = json.loads((PACKAGE / "package.json").read_text(encoding="utf-8"))
    assert package["version"] == __version__


def test_the_lock_file_has_no_addresses_of_packages() -> None:
    lock = json.loads((PACKAGE / "package-lock.json").read_text(encoding="utf-8"))
    assert [name for name, found in lock["packages"].items() if "resolved" in found] == []


def test_the_reference_page_names_every_error_of_the_package() -> None:
    errors = re.findall(
        r"^export class (\w+)", (PACKAGE / "src" / "errors.js").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(errors) > 15
    assert [name for name in errors if f"`{name}`" not in REFERENCE] == []
