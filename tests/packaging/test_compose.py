"""docker-compose.yml and the Dockerfile, as far as they can be checked without a Docker engine.

compose-spec.json is the schema of the Compose specification (Copyright 2020 The Compose Specification Authors,
Apache-2.0).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft201909Validator

from tests.http_servers import in_thread

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SERVING = ["service", "service-gpu"]
SCHEMA = Draft201909Validator(json.loads((Path(__file__).parent / "compose-spec.json").read_text()))


def stages() -> dict[str, str]:
    """The base of each stage of the Dockerfile, by name of the stage."""
    return {name: source for source, name in re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)}


def variables() -> dict[str, dict[str, str]]:
    """The VAE_ variables that each compose service and the Dockerfile set."""
    found = {name: {k: str(v) for k, v in SERVICES[name]["environment"].items()} for name in SERVING}
    found["Dockerfile"] = dict(re.findall(r"\b(VAE_[A-Z_]+)=(\S+)", DOCKERFILE))
    return found


def test_the_compose_file_matches_the_compose_specification() -> None:
    assert [error.message for error in SCHEMA.iter_errors(COMPOSE)] == []


def test_the_specification_refuses_a_misspelt_key() -> None:
    broken = {"services": {"service": {**SERVICES["service"], "helthcheck": {}}}}
    assert list(SCHEMA.iter_errors(broken))


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="needs docker-compose")
@pytest.mark.parametrize("profile", ["cpu", "gpu", "train"])
def test_docker_compose_reads_the_file(profile: str) -> None:
    done = subprocess.run(["docker-compose", "--profile", profile, "config", "--quiet"], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_the_profiles_are_the_documented_ones() -> None:
    assert {name: service["profiles"] for name, service in SERVICES.items()} == {
        "service": ["cpu"],
        "service-gpu": ["gpu"],
        "trainer": ["train"],
    }
    assert "COMPOSE_PROFILES=cpu" in (ROOT / ".env").read_text().splitlines()


def test_every_build_target_is_a_stage_and_every_stage_has_a_source() -> None:
    known = stages()
    assert {service["build"]["target"] for service in SERVICES.values()} <= set(known)
    assert set(re.findall(r"--from=(\S+)", DOCKERFILE)) <= set(known)
    assert {source for source in known.values() if not source.startswith("$")} <= set(known)


def test_every_build_argument_is_declared() -> None:
    declared = set(re.findall(r"^ARG (\w+)", DOCKERFILE, re.MULTILINE))
    assert {name for service in SERVICES.values() for name in service["build"].get("args", {})} <= declared


def test_every_mounted_or_copied_path_exists() -> None:
    mounted = [volume["source"] for service in SERVICES.values() for volume in service["volumes"]]
    copied = [
        name for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE) for name in line.split()[:-1]
    ]
    assert mounted
    assert copied
    assert [name for name in mounted + copied if not (ROOT / name).exists()] == []
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {"deploy/locks" if name.startswith("deploy/locks/") else name for name in copied} == allowed


@pytest.mark.parametrize("place", ["Dockerfile", *SERVING])
def test_every_variable_is_a_setting_of_the_service(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from vaekit_service.settings import Settings, load

    found = variables()[place]
    assert {"VAE_MODELS", "VAE_HOST", "VAE_PORT", "VAE_DEVICE"} <= set(found)
    assert {name.removeprefix("VAE_").lower() for name in found} <= set(Settings.model_fields)
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert (str(settings.models), settings.host, settings.port) == ("/models", "0.0.0.0", 8000)


def test_every_command_of_an_image_exists_in_the_cli() -> None:
    from vaekit.cli import app

    commands = {command.name for command in app.registered_commands}
    assert set(re.findall(r'^ENTRYPOINT \["(\w+)"\]', DOCKERFILE, re.MULTILINE)) == {"vae"}
    assert set(re.findall(r'^CMD \["(\w+)"', DOCKERFILE, re.MULTILINE)) <= commands


def test_every_extra_of_an_image_exists_and_only_the_trainer_has_torch() -> None:
    from importlib.metadata import metadata

    locks = (ROOT / "deploy" / "locks" / "lock.sh").read_text()
    extras = [line.split() for line in re.findall(r"--extra (.+) pyproject.toml", locks)]
    (trainer,) = re.findall(r"whl\)\[([a-z,]+)\]", DOCKERFILE)
    assert trainer == "cpu,training,scoring"
    known = set(metadata("vaekit").get_all("Provides-Extra", []))
    assert {name for line in extras for name in line if name != "--extra"} | set(trainer.split(",")) <= known
    assert not any("training" in line for line in extras)


@pytest.mark.parametrize("name", SERVING)
def test_a_service_has_a_limit_of_memory_without_swap_and_a_log_that_is_rotated(name: str) -> None:
    service = SERVICES[name]
    assert service["mem_limit"] == service["memswap_limit"] == "${SERVICE_MEMORY:-2g}"
    assert service["logging"]["driver"] == "json-file"
    assert {"max-size", "max-file"} == set(service["logging"]["options"])
    assert service["init"] is True


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_unprivileged_and_can_write_only_to_tmpfs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"]
    assert "privileged" not in service
    assert not str(service["user"]).startswith(("0", "root"))


def documented(command: str) -> list[str]:
    """The arguments of the trainer in a documented command."""
    page = (ROOT / "docs" / "how-to" / "deploy.md").read_text()
    (found,) = re.findall(rf"docker compose run --rm trainer ({command} .+)$", page, re.MULTILINE)
    assert f"docker compose run --rm trainer {found}" in (ROOT / "docker-compose.yml").read_text()
    return str(found).split()


CAN_MOUNT = shutil.which("unshare") and subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not CAN_MOUNT, reason="needs a namespace of mounts")
def test_the_documented_training_command_runs_on_a_read_only_disk_with_the_trainers_mounts(tmp_path: Path) -> None:
    host, root = tmp_path / "host", tmp_path / "workspace"
    root.mkdir()
    commands = [f"mount --bind {root} {root}"]
    for volume in SERVICES["trainer"]["volumes"]:
        source, target = host / volume["source"], root / Path(volume["target"]).relative_to("/workspace")
        shutil.copytree(ROOT / volume["source"], source) if volume.get("read_only") else source.mkdir(parents=True)
        target.mkdir()
        commands += [f"mount --bind {source} {target}"]
        commands += [f"mount -o remount,bind,ro {target}"] if volume.get("read_only") else []
    own = f"mount -o remount,bind,ro {root} && ! touch {root}/x 2> /dev/null"
    vae = f"{sys.executable} -m vaekit {' '.join(documented('train'))} --set training.steps=10"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-ec", "\n".join([*commands, own, f"cd {root}", vae])],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (host / "models" / "breast-cancer" / "1" / "manifest.json").is_file()
    assert (host / "runs" / "breast-cancer" / "1" / "checkpoint.pt").is_file()


@pytest.mark.parametrize("name", SERVING)
def test_a_service_is_published_on_loopback_with_its_models_read_only(name: str) -> None:
    service = SERVICES[name]
    (port,) = service["ports"]
    assert re.fullmatch(r"127\.0\.0\.1:\$\{PUBLISH_PORT:-8000\}:8000", port)
    (models,) = service["volumes"]
    assert (models["source"], models["target"], models["read_only"]) == ("./models", "/models", True)
    assert service["environment"]["VAE_PORT"] == "8000"


@pytest.mark.parametrize("name", SERVING)
def test_callers_without_keys_are_allowed_because_of_loopback_and_not_by_the_image(name: str) -> None:
    assert variables()[name]["VAE_ALLOW_ANONYMOUS"] == "true"
    assert not {"VAE_ALLOW_ANONYMOUS", "VAE_KEYS"} & set(variables()["Dockerfile"])


def test_the_gpu_service_requires_cuda_and_reserves_one_gpu() -> None:
    service = SERVICES["service-gpu"]
    assert service["environment"]["VAE_DEVICE"] == "cuda"
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}


@pytest.mark.parametrize("name", SERVING)
def test_the_stop_grace_period_is_longer_than_the_shutdown_of_the_service(name: str) -> None:
    from vaekit_service.settings import load

    settings = load()
    grace = float(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    assert grace > settings.drain_seconds + settings.shutdown_seconds


@pytest.fixture
def answering() -> Iterator[tuple[str, list[int], list[str]]]:
    """A server that answers with the statuses in a list and records the requested paths."""
    statuses: list[int] = []
    paths: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(statuses.pop(0))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    with in_thread(server):
        yield f"127.0.0.1:{server.server_port}", statuses, paths


@pytest.mark.parametrize("name", SERVING)
def test_the_healthcheck_passes_on_200_and_fails_on_503(name: str, answering: tuple[str, list[int], list[str]]) -> None:
    address, statuses, paths = answering
    kind, program, flag, code = SERVICES[name]["healthcheck"]["test"]
    assert (kind, program, flag) == ("CMD", "python", "-c")
    assert "127.0.0.1:8000" in code
    statuses += [200, 503]
    run = [sys.executable, flag, code.replace("127.0.0.1:8000", address)]
    codes = [subprocess.run(run, capture_output=True).returncode for _ in range(2)]
    assert codes == [0, 1]
    assert paths == ["/readyz", "/readyz"]
