"""The add-ons of deploy/compose.yml and their configuration, as far as they can be checked without a Docker engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft201909Validator

from vaekit_service.settings import Settings, load

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
ADD_ONS: dict[str, dict[str, Any]] = yaml.safe_load((DEPLOY / "compose.yml").read_text())
SERVICES = ADD_ONS["services"]
OURS = ["service", "service-gpu"]
PUBLIC = [name for name in SERVICES if name not in OURS]
NGINX = (DEPLOY / "nginx" / "nginx.conf").read_text()
ENVIRONMENT = dict(
    line.split("=", 1) for line in (DEPLOY / "stack.env").read_text().splitlines() if "=" in line and line[0] != "#"
)
COMPOSE = ["docker-compose", "--env-file", "deploy/stack.env"]
needs_compose = pytest.mark.skipif(shutil.which("docker-compose") is None, reason="needs docker-compose")


def directive(name: str) -> str:
    """The only value of an nginx directive."""
    (value,) = re.findall(rf"^\s*{name} ([^;]+);", NGINX, re.MULTILINE)
    return str(value)


def seconds(name: str) -> float:
    return float(directive(name).removesuffix("s"))


@pytest.mark.parametrize("path", ["deploy/compose.yml", "tests/deploy/compose.yml"])
def test_the_compose_files_match_the_compose_specification(path: str) -> None:
    schema = json.loads((ROOT / "tests" / "packaging" / "compose-spec.json").read_text())
    errors = Draft201909Validator(schema).iter_errors(yaml.safe_load((ROOT / path).read_text()))
    assert [error.message for error in errors] == []


@needs_compose
@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_docker_compose_merges_the_files(profile: str) -> None:
    done = subprocess.run([*COMPOSE, "--profile", profile, "config"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert {*PUBLIC} < set(services)
    for name in {*OURS} & set(services):
        assert services[name]["environment"]["VAE_KEYS_FILE"]
        assert services[name]["environment"]["VAE_ALLOW_ANONYMOUS"] == "false"
        targets = [volume["target"] for volume in services[name]["volumes"]]
        assert targets == ["/models", "/run/secrets/vaekit"] or set(targets) == {"/models", "/run/secrets/vaekit"}


@needs_compose
def test_without_a_free_port_for_each_replica_compose_says_what_to_set() -> None:
    command = ["docker-compose", "-f", "docker-compose.yml", "-f", "deploy/compose.yml", "config", "--quiet"]
    environment = {name: value for name, value in os.environ.items() if name != "PUBLISH_PORT"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode != 0
    assert "set PUBLISH_PORT=0" in done.stderr


@pytest.mark.parametrize("name", PUBLIC)
def test_an_add_on_has_a_pinned_image_no_privileges_limits_and_a_rotated_log(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[a-z./-]+:v?\d+\.\d+\.\d+(-alpine)?", service["image"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not str(service["user"]).startswith("0")
    assert service["mem_limit"] == service["memswap_limit"]
    assert {"max-size", "max-file"} == set(service["logging"]["options"])


@pytest.mark.parametrize("name", PUBLIC)
def test_an_add_on_is_published_on_loopback_only(name: str) -> None:
    (port,) = SERVICES[name]["ports"]
    for variable, value in ENVIRONMENT.items():
        port = re.sub(rf"\$\{{{variable}(:-[^}}]*)?\}}", value, port)
    assert port.startswith("127.0.0.1:")


@pytest.mark.parametrize("name", SERVICES)
def test_every_mounted_folder_exists_and_secrets_are_not_committed(name: str) -> None:
    sources = [volume["source"] for volume in SERVICES[name]["volumes"] if volume["type"] == "bind"]
    secrets = [source for source in sources if source.startswith("./deploy/secrets/")]
    assert all((ROOT / source).exists() for source in sources if source not in secrets)
    assert all(volume["read_only"] for volume in SERVICES[name]["volumes"] if volume["type"] == "bind")
    if secrets and (ROOT / ".git").exists():
        done = subprocess.run(["git", "check-ignore", *secrets], cwd=ROOT, capture_output=True, text=True)
        assert done.stdout.split() == secrets


@pytest.mark.parametrize("name", OURS)
def test_the_replicas_require_keys_that_they_mount_and_have_the_name_that_is_looked_up(name: str) -> None:
    service = SERVICES[name]
    assert {key.removeprefix("VAE_").lower() for key in service["environment"]} <= set(Settings.model_fields)
    (keys,) = service["volumes"]
    assert service["environment"]["VAE_KEYS_FILE"] == f"{keys['target']}/keys.toml"
    (alias,) = service["networks"]["default"]["aliases"]
    assert f"http://{alias}:8000" in NGINX
    scrape = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"][0]
    assert scrape["dns_sd_configs"][0]["names"] == [alias]
    assert scrape["job_name"] == "vaekit"


def test_the_limits_of_nginx_let_the_service_answer_first() -> None:
    settings = load()
    assert seconds("proxy_read_timeout") > settings.answer_seconds
    assert seconds("client_header_timeout") >= settings.head_seconds
    assert seconds("client_body_timeout") >= settings.body_seconds
    assert seconds("send_timeout") >= settings.reply_seconds
    assert int(directive("client_max_body_size").removesuffix("m")) * 2**20 > settings.max_body_bytes
    count, size = directive("large_client_header_buffers").split()
    assert int(count) * int(size.removesuffix("k")) * 1024 >= settings.max_head_bytes
    grace = float(SERVICES["nginx"]["stop_grace_period"].removesuffix("s"))
    assert grace > seconds("proxy_read_timeout")


@pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx")
def test_nginx_accepts_its_configuration(tmp_path: Path) -> None:
    config = tmp_path / "nginx.conf"
    config.write_text(NGINX.replace("/tmp/", f"{tmp_path}/").replace("/dev/stdout", f"{tmp_path}/access.log"))
    done = subprocess.run(["nginx", "-t", "-c", str(config), "-p", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("amtool") is None, reason="needs amtool")
def test_alertmanager_accepts_its_configuration() -> None:
    command = ["amtool", "check-config", str(DEPLOY / "alertmanager" / "alertmanager.yml")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
