"""The Java examples compile, call a running service, and score bundles as Python does."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.javascript.scored_rows import expected, random_rows
from tests.kinds import Published
from tests.live import serving
from tests.packaging.test_docs import URL, commands
from vaekit.runtime import Model
from vaekit_service.keys.key import entry, line, new_key

EXAMPLES = ROOT / "examples" / "java"
ROWS = ROOT / "examples" / "rows.json"
PAGE = (ROOT / "docs" / "how-to" / "use-from-java.md").read_text(encoding="utf-8")
STAND_IN = ROOT / "tests" / "java" / "onnxruntime"
JARS = Path("/usr/share/java")  # of Debian's packages
ALPHA = 0.05
TOLERANCE = 1e-5  # of scores, relative above 1 nat

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def jar(name: str) -> Path:
    if not (JARS / f"{name}.jar").exists():
        pytest.skip(f"needs {name}.jar (Debian's lib{name}-java, for gson libgoogle-gson-java)")
    return JARS / f"{name}.jar"


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VAE_")}
    return subprocess.run(
        command, cwd=ROOT, env={**kept, **environment}, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def gson() -> str:
    """The path of Gson, where there is a JDK."""
    if absent := [program for program in ("java", "javac") if shutil.which(program) is None]:
        pytest.skip(f"needs {' and '.join(absent)}, of a JDK")
    return str(jar("gson"))


@pytest.fixture(scope="module")
def key() -> str:
    return new_key()


@pytest.fixture(scope="module")
def url(models_dir: Path, key: str) -> Iterator[str]:
    """The address of a running service that requires the key."""
    with serving(models_dir, keys=line("java", entry(key, ["infer"]))) as address:
        yield address


def rows_of(output: str) -> list[list[str]]:
    return [each.split() for each in output.splitlines()]


def test_call_service_prints_the_verdicts_of_the_service(gson: str, url: str, key: str, breast_cancer: Model) -> None:
    command = ["java", "-cp", gson, str(EXAMPLES / "CallService.java"), url, "breast-cancer", str(ROWS), str(ALPHA)]
    done = run(command, VAE_API_KEY=key)
    assert done.returncode == 0, done.stderr
    found = breast_cancer.bound(json.loads(ROWS.read_text(encoding="utf-8"))["inputs"])
    assert found.p_value is not None
    scores, p_values, verdicts = zip(*rows_of(done.stdout), strict=True)
    assert [float(score) for score in scores] == pytest.approx(found.score.tolist(), rel=TOLERANCE)
    assert [float(p_value) for p_value in p_values] == found.p_value.tolist()
    assert verdicts == ("false", "true")


def test_call_service_says_what_the_service_refuses(gson: str, url: str, key: str, tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps({"inputs": [[*([1.0] * 29), "n/a"]]}), encoding="utf-8")
    command = [
        "java",
        "-cp",
        gson,
        str(EXAMPLES / "CallService.java"),
        url,
        "breast-cancer",
        str(tmp_path / "rows.json"),
    ]
    done = run(command, VAE_API_KEY=key)
    assert done.returncode == 1
    assert done.stderr.startswith("422: row 0, feature 'worst fractal dimension': not a number")
    assert run(command, VAE_API_KEY="vae_wrong").stderr.startswith("401: ")


@dataclass(frozen=True)
class Library:
    """ONNX Runtime's library for Java, or the stand-in for it."""

    path: str  # class path
    environment: dict[str, str]


@pytest.fixture(scope="module")
def onnxruntime(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Library:
    if "ONNXRUNTIME_JAR" in os.environ:
        return Library(os.environ["ONNXRUNTIME_JAR"], {})
    package: Path = request.getfixturevalue("package")
    (binary,) = (package / "node_modules" / "onnxruntime-node" / "bin").glob("*/linux/x64/libonnxruntime.so.1")
    path = os.pathsep.join([str(jar("jna")), str(classes := tmp_path_factory.mktemp("onnxruntime"))])
    sources = [str(file) for file in (STAND_IN / "ai" / "onnxruntime").glob("*.java")]
    done = run(["javac", "-Xlint:all,-serial", "-Werror", "-cp", path, "-d", str(classes), *sources])
    assert done.returncode == 0, done.stderr
    return Library(path, {"JDK_JAVA_OPTIONS": f"-Donnxruntime.library={binary}"})


@dataclass(frozen=True)
class Scorer:
    """ScoreBundle, compiled."""

    command: list[str]
    environment: dict[str, str]

    def run(self, bundle: Path, rows: Path) -> subprocess.CompletedProcess[str]:
        return run([*self.command, str(bundle), str(rows), str(ALPHA)], **self.environment)


@pytest.fixture(scope="module")
def scorer(gson: str, onnxruntime: Library, tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    path = os.pathsep.join([gson, onnxruntime.path, str(classes := tmp_path_factory.mktemp("classes"))])
    sources = [str(file) for file in (EXAMPLES / "scorer").glob("*.java")]
    done = run(["javac", "-Xlint:all", "-Werror", "-cp", path, "-d", str(classes), *sources])
    assert done.returncode == 0, done.stderr
    return Scorer(["java", "-cp", path, "ScoreBundle"], onnxruntime.environment)


@pytest.mark.parametrize("command", commands("java", PAGE), ids=["service", "bundle"])
def test_the_commands_of_the_how_to_page_run(
    command: str, gson: str, onnxruntime: Library, url: str, key: str, tmp_path: Path
) -> None:
    changes = {"onnxruntime.jar": onnxruntime.path, "gson.jar": gson, "build/java": str(tmp_path), URL: url}
    for compile_ in [*commands("javac", PAGE), command]:
        for shown, used in changes.items():
            compile_ = compile_.replace(shown, used)
        done = run(shlex.split(compile_), VAE_API_KEY=key, **onnxruntime.environment)
        assert done.returncode == 0, done.stderr
    assert [row[2] for row in rows_of(done.stdout)] == ["false", "true"]


def score(scorer: Scorer, bundle: Path, rows: list[Any], folder: Path) -> list[list[str]]:
    (folder / "rows.json").write_text(json.dumps({"inputs": rows}), encoding="utf-8")
    done = scorer.run(bundle, folder / "rows.json")
    assert done.returncode == 0, done.stderr
    return rows_of(done.stdout)


@pytest.mark.parametrize("model", ["breast-cancer", "digits", "mixed", "several", "folded", "shown", "sensors"])
def test_score_bundle_gives_the_scores_p_values_and_verdicts_of_python(
    model: str, scorer: Scorer, models_dir: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    committed = {"sensors": ROOT / "tests" / "old" / "sensors"}
    if model in ("breast-cancer", "digits"):
        committed[model] = models_dir / model
    trained: Published | None = None if model in committed else request.getfixturevalue(model)
    folder = committed[model] if trained is None else trained.folder
    with Model.load(folder, device="cpu") as loaded:
        rows = random_rows(loaded)
        for part in ([row for row in rows if isinstance(row, list)], [row for row in rows if isinstance(row, dict)]):
            if part:
                compare(score(scorer, folder / "1", part, tmp_path), expected(loaded, part))


def test_score_bundle_scores_many_rows_with_little_memory(scorer: Scorer, models_dir: Path, tmp_path: Path) -> None:
    options = f"{scorer.environment.get('JDK_JAVA_OPTIONS', '')} -Xmx32m"  # so that garbage is collected meanwhile
    small = replace(scorer, environment={**scorer.environment, "JDK_JAVA_OPTIONS": options})
    found = score(small, models_dir / "digits" / "1", [[[0] * 8] * 8] * 2000, tmp_path)
    assert len(found) == 2000
    assert len({tuple(row) for row in found}) == 1


def compare(found: list[list[str]], want: dict[str, Any]) -> None:
    scores, p_values, verdicts, novel = zip(*found, strict=True)
    for score_, elbo in zip(scores, want["elbo"], strict=True):
        assert (score_ == "NaN") == (elbo is None)
        assert elbo is None or float(score_) == pytest.approx(-elbo, rel=TOLERANCE, abs=TOLERANCE)
    assert [float(p_value) for p_value in p_values] == want["p_value"]
    assert [verdict == "true" for verdict in verdicts] == want["verdicts"][ALPHA]["is_anomaly"]
    if want["novel"] is not None:
        assert [each == "true" for each in novel] == [bool(names) for names in want["novel"]]


def test_score_bundle_refuses_a_changed_file_and_what_it_does_not_read(
    scorer: Scorer, models_dir: Path, tmp_path: Path, grouped: Published
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(models_dir / "breast-cancer" / "1", bundle)
    content = bytearray((bundle / "elbo.onnx").read_bytes())
    content[100] ^= 1
    (bundle / "elbo.onnx").write_bytes(content)
    assert "elbo.onnx: the sha256 differs" in scorer.run(bundle, ROWS).stderr
    manifest = (bundle / "manifest.json").read_text(encoding="utf-8")
    (bundle / "manifest.json").write_text(manifest.replace('"format": "1.2"', '"format": "2.0"'), encoding="utf-8")
    assert "reads formats 1.0 to 1.x" in scorer.run(bundle, ROWS).stderr
    assert "calibrated by group" in scorer.run(grouped.folder / "1", ROWS).stderr
