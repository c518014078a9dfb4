"""Clients and commands that send keys, and the pages that show how."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft201909Validator

from tests.live import serving
from tests.service.keyed import KEYS, TEXT
from vaekit import AsyncClient, Client
from vaekit.client import TooBusy, Unauthorized
from vaekit_service.keys.file import read_file
from vaekit_service.keys.key import entry, line, parse
from vaekit_service.settings import load

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
HOW_TO = (ROOT / "docs" / "how-to" / "keys.md").read_text()
REFERENCE = (ROOT / "docs" / "reference" / "service.md").read_text()
ROW = [[1.0] * 30]


@pytest.fixture(scope="module")
def url(models_dir: Path) -> Iterator[str]:
    text = TEXT + line("slow", entry("slow", ["read"], rate="1/day"))
    with serving(models_dir, keys=text, default_model="breast-cancer") as url:
        yield url


async def test_the_clients_send_the_key_that_is_given_or_in_the_environment(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VAE_API_KEY", raising=False)
    with Client(url) as client, pytest.raises(Unauthorized, match="a key is required") as caught:
        client.elbo(ROW)
    assert caught.value.status == 401
    with Client(url) as client:
        assert client.ready()
    with Client(url, key=KEYS["infer"]) as client:
        assert client.elbo(ROW).score.shape == (1,)
        with pytest.raises(Unauthorized, match="does not have the scope 'read'") as caught:
            client.models()
    assert caught.value.status == 403
    monkeypatch.setenv("VAE_API_KEY", KEYS["all"])
    async with AsyncClient(url) as client:
        assert (await client.elbo(ROW, explain=1)).cells is not None
    with Client(url, key="slow") as client:
        client.models()
        with pytest.raises(TooBusy) as busy:
            client.models()
    assert busy.value.retry_after is not None


@pytest.mark.parametrize("variable", ["VAE_API_KEY", "VAE_KEY"])
def test_vae_score_sends_the_key_of_the_environment(url: str, variable: str, tmp_path: Path) -> None:
    words = ["score", "breast-cancer", ROOT / "examples" / "rows.csv", tmp_path / "scored.csv", "--url", url]
    command = [sys.executable, "-m", "vaekit", *map(str, words)]
    path = {"PYTHONPATH": ":".join(sys.path)}
    refused = subprocess.run(command, capture_output=True, text=True, env=path, check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: a key is required")
    scored = subprocess.run(command, capture_output=True, text=True, env={**path, variable: KEYS["all"]}, check=False)
    assert scored.returncode == 0, scored.stderr
    assert KEYS["all"] not in scored.stdout + scored.stderr


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def test_the_commands_of_the_how_to_make_a_key_file_that_the_service_takes(tmp_path: Path) -> None:
    lines = [shlex.split(text) for block in blocks(HOW_TO, "sh") for text in block.splitlines()]
    made = [words[1:] for words in lines if words[:3] == ["vae", "keys", "new"]]
    for words in made:
        subprocess.run([sys.executable, "-m", "vaekit", *words], cwd=tmp_path, check=True, capture_output=True)
    assert list(read_file(tmp_path / "keys.toml")) == [words[2] for words in made] == ["line-3", "operator"]
    [serve] = [words for words in lines if words[:2] == ["vae", "serve"]]
    assert serve[2:] == ["--models", "models", "--host", "0.0.0.0", "--keys-file", "keys.toml"]


def test_the_compose_file_of_the_how_to_sets_known_settings() -> None:
    [text] = blocks(HOW_TO, "yaml")
    schema = Draft201909Validator(yaml.safe_load((ROOT / "tests/packaging/compose-spec.json").read_text()))
    override: dict[str, Any] = yaml.safe_load(text)
    assert list(schema.iter_errors(override)) == []
    [(variable, path)] = override["services"]["service"]["environment"].items()
    assert load(**{variable.removeprefix("VAE_").lower(): path}).key_source == Path("/run/secrets/keys.toml")
    assert override["services"]["service"]["secrets"] == list(override["secrets"]) == ["keys.toml"]


def test_the_entries_of_the_reference_are_read() -> None:
    [text] = blocks(REFERENCE, "toml")
    assert list(parse(text, "service.md")) == ["line-3", "operator"]
