"""`vae push` and `vae pull` with the Hugging Face hub: the real client against a stand-in on this machine."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hub import Hub, hub
from tests.versions import add_version
from vaekit.bundle.origin import read_origin
from vaekit.bundle.read import read_manifest
from vaekit.errors import InputError
from vaekit.storage.hub import hub_folder
from vaekit.storage.transfer import digest_of

URL = "hf://me/cancer"
Vae = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def stand_in() -> Iterator[Hub]:
    with hub() as running:
        yield running


@pytest.fixture
def vae(stand_in: Hub, models: Path, tmp_path: Path) -> Vae:
    """vae(*arguments): a finished `vae` command, whose client uses the stand-in."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, **stand_in.environment(str(tmp_path / "hf")), **environment}
        command = [sys.executable, "-c", "from vaekit.cli import main; main()", *arguments]
        return subprocess.run(
            command, cwd=models.parent, env=env, capture_output=True, text=True, timeout=100, check=False
        )

    return run


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def told(done: subprocess.CompletedProcess[str]) -> str:
    """The error of a command that failed, in one line."""
    assert done.returncode == 1, done.stdout
    return " ".join(done.stderr.split())


@pytest.fixture
def models(tmp_path: Path, models_dir: Path) -> Path:
    shutil.copytree(models_dir / "breast-cancer", tmp_path / "models" / "breast-cancer")
    return tmp_path / "models"


def test_a_bundle_comes_back_with_the_same_files(vae: Vae, stand_in: Hub, models: Path, tmp_path: Path) -> None:
    succeeded(vae("push", "breast-cancer", URL))
    repository = stand_in.repositories["me/cancer"]
    assert repository.private
    done = json.loads(succeeded(vae("pull", URL, "pulled", "--json")))
    there, here = models / "breast-cancer" / "1", tmp_path / "pulled" / "breast-cancer" / "1"
    assert (done["model"], done["new"], done["sha256"]) == ("breast-cancer@1", True, digest_of(there))
    names = {path.relative_to(there) for path in there.rglob("*") if path.is_file()}
    assert {path.relative_to(here) for path in here.rglob("*") if path.is_file()} == {*names, Path("origin.json")}
    assert all((here / name).read_bytes() == (there / name).read_bytes() for name in names)
    origin = read_origin(here)
    assert origin is not None
    assert (origin.url, origin.revision, origin.sha256) == (URL, repository.refs["main"], digest_of(here))
    listed = json.loads(succeeded(vae("models", "list", "--models", "pulled", "--json")))
    assert listed["models"][0]["versions"][0]["origin"]["url"] == URL


def test_binary_files_are_sent_as_lfs_objects(vae: Vae, stand_in: Hub, models: Path) -> None:
    succeeded(vae("push", "breast-cancer", URL))
    sent = {path.read_bytes() for path in (models / "breast-cancer" / "1").iterdir() if path.suffix == ".onnx"}
    assert sent <= set(stand_in.objects.values())
    assert len(sent) > 3


def test_the_model_card_is_the_readme_with_metadata(vae: Vae, stand_in: Hub) -> None:
    succeeded(vae("push", "breast-cancer", URL, "--public"))
    repository = stand_in.repositories["me/cancer"]
    card = repository.commits[repository.refs["main"]]["README.md"].decode()
    assert card.startswith("---\nlibrary_name: vaekit\n")
    assert "# breast-cancer, version 1" in card
    assert "](report/report.html)" in card
    assert "vae pull hf://me/cancer@v1" in card
    assert not repository.private


@pytest.mark.slow
def test_each_version_is_a_commit_with_a_tag(vae: Vae, stand_in: Hub, models: Path, tmp_path: Path) -> None:
    succeeded(vae("push", "breast-cancer@1", URL))
    add_version(models, 2)
    (models / "breast-cancer" / "2" / "config.toml").unlink(missing_ok=True)
    succeeded(vae("push", "breast-cancer@2", URL))
    repository = stand_in.repositories["me/cancer"]
    assert sorted(repository.tags) == ["v1", "v2"]
    assert repository.refs["main"] == repository.tags["v2"]
    assert "config.toml" not in repository.commits[repository.tags["v2"]]  # deleted with version 1
    assert ".gitattributes" in repository.commits[repository.tags["v2"]]
    for arguments, version in (((URL,), 2), ((URL, "--version", "1"), 1), ((f"{URL}@v1",), 1)):
        folder = tmp_path / f"pulled-{'-'.join(arguments).replace('/', '')}"
        url, *rest = arguments
        succeeded(vae("pull", url, str(folder), *rest))
        assert read_manifest(folder / "breast-cancer" / str(version)).version == version


def test_pushing_and_pulling_again_change_nothing(vae: Vae, stand_in: Hub) -> None:
    succeeded(vae("push", "breast-cancer", URL))
    before = dict(stand_in.repositories["me/cancer"].commits)
    assert "is in hf://me/cancer@v1 already" in succeeded(vae("push", "breast-cancer", URL))
    assert stand_in.repositories["me/cancer"].commits == before
    succeeded(vae("pull", URL, "pulled"))
    assert "already" in succeeded(vae("pull", URL, "pulled"))


def test_another_bundle_with_the_same_version_is_refused(vae: Vae, models_dir: Path) -> None:
    succeeded(vae("push", "breast-cancer", URL))
    assert "another bundle is digits@1 there" in told(vae("push", str(models_dir / "digits"), URL))


def test_a_changed_file_is_found_on_arrival(vae: Vae, stand_in: Hub, tmp_path: Path) -> None:
    succeeded(vae("push", "breast-cancer", URL))
    repository = stand_in.repositories["me/cancer"]
    repository.commits[repository.refs["main"]]["encoder.onnx"] += b"\0"
    assert "sha256" in told(vae("pull", URL, "pulled"))
    assert [*(tmp_path / "pulled").iterdir()] == []


def test_a_push_that_fails_in_the_middle_shows_nothing(vae: Vae, stand_in: Hub) -> None:
    sent = []
    stand_in.before = lambda request: not (request.startswith("PUT /lfs/") and (sent.append(request) or len(sent) > 2))
    assert "hf://me/cancer: Error while uploading" in told(vae("push", "breast-cancer", URL))
    repository = stand_in.repositories["me/cancer"]
    assert list(repository.commits[repository.refs["main"]]) == [".gitattributes"]
    assert repository.tags == {}


@pytest.mark.parametrize(
    ("arguments", "environment", "text"),
    [
        (("hf://me/nothing", "pulled"), {}, "hf://me/nothing: "),
        (("hf://me/cancer@v9", "pulled"), {}, "hf://me/cancer@v9: "),
        ((URL, "pulled", "--version", "9"), {}, "hf://me/cancer@v9: "),
        ((f"{URL}@v1", "pulled", "--version", "1"), {}, "the URL names a revision; leave out the version"),
        ((URL, "pulled", "--sha256", "0" * 64), {}, "the bundle there is another one: its sha256 is "),
        ((URL, "pulled"), {"HF_TOKEN": "hf_wrong"}, "hf://me/cancer: "),
        ((URL, "pulled"), {"HF_HUB_OFFLINE": "1"}, "hf://me/cancer: "),
        ((URL, "pulled"), {"HF_ENDPOINT": "http://127.0.0.1:9"}, "hf://me/cancer: "),
    ],
)
def test_what_cannot_be_pulled_is_one_sentence_and_leaves_nothing(
    vae: Vae, tmp_path: Path, arguments: Any, environment: dict[str, str], text: str
) -> None:
    succeeded(vae("push", "breast-cancer", URL))
    assert text in told(vae("pull", *arguments, **environment))
    assert not (tmp_path / "pulled").exists() or [*(tmp_path / "pulled").iterdir()] == []


@pytest.mark.parametrize("url", ["hf://", "hf://me", "hf://me/cancer/1", "hf://me/cancer@", "hf://me/cancer@a@b"])
def test_a_url_of_another_form_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="expected hf://OWNER/NAME"):
        hub_folder(url)


@pytest.mark.slow  # it imports the hub's client in a process of its own, which takes seconds
@pytest.mark.parametrize("what", ["files()", "has_tag('v1')"])
def test_a_hub_that_never_answers_is_given_up(what: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        program = (
            "from vaekit.errors import StoreError\n"
            "from vaekit.storage import hub\n"
            "hub.SECONDS = 0.5\n"
            "try:\n"
            f"    hub.hub_folder('hf://me/cancer').{what}\n"
            "except StoreError as exc:\n"
            "    print(exc)\n"
        )
        environment = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, timeout=60)
    assert done.stdout.startswith(b"hf://me/cancer: ReadTimeout"), done.stderr
