"""The compose stack on a real Docker engine: keys, scrapes, alerts, every query of the dashboard, updates of models."""

from __future__ import annotations

import json
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml

from benchmarks.chaos.containers.stack import IMAGE, Stack, docker, make_keys, wait
from benchmarks.chaos.versions import HARMS, Publisher
from tests.deploy.conftest import REPLICAS
from tests.deploy.test_deploy_rules import DASHBOARD, PANELS, RULES, metrics
from tests.packaging.test_locks import locked
from vaekit_service.page.routes import POLICY

pytestmark = pytest.mark.deploy
ROOT = Path(__file__).parents[2]
NAME = "breast-cancer"
GPU_ONLY = {"vae_device_memory_used_bytes", "vae_device_memory_total_bytes"}
SECONDS = 120.0  # until Prometheus has scraped something twice and computed from it


@pytest.fixture(scope="module")
def caller(stack: Stack) -> Iterator[httpx.Client]:
    """A client of nginx with a key."""
    headers = {"authorization": f"Bearer {stack.key}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{stack.port}", headers=headers, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def prometheus(stack: Stack) -> Callable[[str], Any]:
    """prometheus(path): the data of a reply of its API."""
    url = stack.url("prometheus", 9090)

    def ask(path: str, **parameters: str) -> Any:
        reply = httpx.get(f"{url}/api/v1/{path}", params=parameters).raise_for_status().json()
        return reply["data"]

    return ask


@pytest.fixture(scope="module")
def broken_version(stack: Stack) -> int:
    """A version that cannot be served, published after a whole one that every replica serves."""
    publisher = Publisher(stack.folder / "models" / NAME)
    whole = publisher.publish()
    wait("every replica serves the new version", lambda: all(s["version"] == whole for s in states(stack)))
    return publisher.publish(HARMS[0])


@pytest.fixture(scope="module")
def traffic(stack: Stack, caller: httpx.Client) -> Callable[[], None]:
    """Sends requests of all kinds: answered, refused, too late, without a key; ordinary, novel and unusual rows."""
    replicas = [httpx.URL(str(stack.address(container, 8000))) for container in stack.containers("service")]
    rng = np.random.default_rng(0)
    model = f"/models/{NAME}"
    ordinary = json.loads((ROOT / "examples" / "rows.json").read_text())["inputs"][0]
    novel = [None, *ordinary[1:]]

    def send() -> None:
        for _ in range(20):
            rows = [ordinary, *(rng.normal(size=(10, 30)) * 5 + ordinary).tolist()]
            caller.post(f"{model}/elbo", json={"inputs": rows}).raise_for_status()
        caller.post(f"{model}/elbo", json={"inputs": [novel]})
        caller.post(f"{model}/encode", json={"inputs": [ordinary]}).raise_for_status()
        assert caller.post(f"{model}/elbo", json={"inputs": [ordinary[:3]]}).status_code == 422
        late = {"vae-timeout": "0.000001"}
        assert caller.post(f"{model}/elbo", json={"inputs": [ordinary]}, headers=late).status_code == 504
        assert caller.get("/models", headers={"authorization": "Bearer no"}).status_code == 401
        for replica in replicas:  # nginx would not pass it on
            assert replica.port is not None
            with socket.create_connection((replica.host, replica.port)) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\n\r\n")  # without a host
                assert connection.recv(100).startswith(b"HTTP/1.1 400")

    return send


def states(stack: Stack) -> list[dict[str, Any]]:
    """The entry of the model at /models of every replica."""
    found = []
    for container in stack.containers("service"):
        address = stack.address(container, 8000)
        assert address is not None
        reply = httpx.get(f"{address}/models", headers={"authorization": f"Bearer {stack.key}"}).raise_for_status()
        found += [one for one in reply.json()["models"] if one["name"] == NAME]
    return found


def test_callers_need_a_key_through_nginx_and_at_each_replica(stack: Stack, caller: httpx.Client) -> None:
    addresses = [stack.address(container, 8000) for container in stack.containers("service")]
    assert len(addresses) == REPLICAS
    for address in (*addresses, f"http://127.0.0.1:{stack.port}"):
        assert httpx.get(f"{address}/models").status_code == 401
        assert httpx.get(f"{address}/readyz").status_code == 200
    assert caller.get("/models").status_code == 200
    assert httpx.get(f"{addresses[0]}/metrics").status_code == 401


def test_the_id_of_a_request_is_the_same_in_the_reply_and_the_log_of_nginx(stack: Stack, caller: httpx.Client) -> None:
    reply = caller.get("/models", headers={"x-request-id": "from-the-caller"})
    assert reply.headers["x-request-id"] == "from-the-caller"
    made = caller.get("/models").headers["x-request-id"]
    [container] = stack.containers("nginx")
    ids = wait("nginx writes its log", lambda: _logged(container, made))
    assert {"from-the-caller", made} <= ids


def _logged(container: str, wanted: str) -> set[str]:
    lines = [json.loads(line) for line in docker("logs", container).splitlines() if line.startswith("{")]
    ids = {line["request_id"] for line in lines}
    return ids if wanted in ids else set()


def test_nginx_hides_the_metrics_and_lets_the_service_refuse_large_bodies(caller: httpx.Client) -> None:
    assert caller.get("/metrics").status_code == 404
    reply = caller.post("/models/breast-cancer/elbo", content=b" " * (32 * 2**20 + 1))
    assert (reply.status_code, reply.headers["content-type"]) == (413, "application/problem+json")


def test_nginx_serves_below_a_prefix_once_it_has_the_lines_of_the_guide(stack: Stack, caller: httpx.Client) -> None:
    guide = (ROOT / "docs" / "how-to" / "deploy.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"^```nginx\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    file = stack.folder / "deploy" / "nginx" / "nginx.conf"
    file.write_text(file.read_text().replace("        location / {", f"{lines}\n        location / {{"))
    stack.compose("kill", "-s", "HUP", "nginx")
    wait("nginx has read it", lambda: caller.get("/vae").headers.get("location") == "/vae/")
    page = caller.get("/vae/")
    assert page.headers["content-security-policy"] == POLICY
    assert page.text == caller.get("/").text
    files = re.findall(r'(?:href|src)="(page/[^"]+)"', page.text)
    assert {caller.get(f"/vae/{name}").status_code for name in files} == {200}
    assert caller.get("/vae/models").json() == caller.get("/models").json()
    assert caller.get("/vae/metrics").status_code == 404


@pytest.mark.parametrize("service", ["service", "nginx", "prometheus", "alertmanager"])
def test_a_container_has_its_limits_and_can_write_only_where_it_must(stack: Stack, service: str) -> None:
    for container in stack.containers(service):
        [found] = json.loads(docker("inspect", container))
        host = found["HostConfig"]
        assert host["Memory"] == host["MemorySwap"] > 0
        assert host["PidsLimit"] > 0
        assert host["LogConfig"]["Config"] == {"max-size": "50m", "max-file": "5"}
        assert host["ReadonlyRootfs"] is host["Init"] is True
        for path in ("/x", "/models/x", "/etc/vaekit/x"):
            assert _touch(container, path) != 0
        assert _touch(container, "/tmp/x" if service in ("service", "nginx") else f"/{service}/x") == 0


def _touch(container: str, path: str) -> int:
    return int(docker("exec", container, "sh", "-c", f"touch {path} 2>/dev/null; echo $?"))


def test_a_key_that_is_added_to_a_replaced_file_is_valid_without_a_restart(stack: Stack, tmp_path: Path) -> None:
    keys = stack.folder / "deploy" / "secrets" / "keys" / "keys.toml"
    added = make_keys(tmp_path)
    [line] = [
        line for line in (tmp_path / "deploy/secrets/keys/keys.toml").read_text().splitlines() if "caller" in line
    ]
    new = keys.with_suffix(".new")
    new.write_text(keys.read_text() + line.replace("caller", "later") + "\n")
    new.chmod(0o644)
    new.rename(keys)
    headers = {"authorization": f"Bearer {added}"}
    for container in stack.containers("service"):
        url = f"{stack.address(container, 8000)}/models"
        wait("the key is valid", lambda url=url: httpx.get(url, headers=headers).status_code == 200)  # type: ignore[misc]


def test_prometheus_scrapes_every_replica_with_its_key_and_knows_alertmanager(prometheus: Any) -> None:
    def up() -> bool:
        targets = [one for one in prometheus("targets")["activeTargets"] if one["labels"]["job"] == "vaekit"]
        return [one["health"] for one in targets] == ["up"] * REPLICAS

    wait("every replica was scraped", up, SECONDS)
    assert len(prometheus("alertmanagers")["activeAlertmanagers"]) == 1


def test_every_rule_is_loaded_and_evaluated(prometheus: Any) -> None:
    def rules() -> list[dict[str, Any]]:
        found = [rule for group in prometheus("rules")["groups"] for rule in group["rules"]]
        return found if all(rule["health"] == "ok" for rule in found) else []

    names = sorted(rule["name"] for rule in wait("the rules were evaluated", rules, SECONDS))
    assert names == sorted(rule["alert"] for rule in RULES)


def test_every_query_of_the_dashboard_returns_data(
    broken_version: int, traffic: Callable[[], None], prometheus: Any
) -> None:
    assert broken_version
    expressions = [target["expr"] for panel in PANELS for target in panel["targets"]]
    expressions += [each["query"]["query"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query"]
    assert len(expressions) > len(PANELS)

    def without_data() -> list[str]:
        traffic()
        return [each for each in expressions if not metrics(each) & GPU_ONLY and not _data(prometheus, each)]

    end = time.monotonic() + SECONDS
    while (missing := without_data()) and time.monotonic() < end:
        time.sleep(5.0)
    assert missing == []
    names = {name for each in expressions for name in metrics(each)}
    known = {re.sub(r"_(bucket|sum|count)$", "", name) for name in prometheus("label/__name__/values")}
    assert names - known == GPU_ONLY


def _data(prometheus: Any, expression: str) -> list[Any]:
    """The result of a query, with Grafana's variables filled in. A result that has only NaN is none."""
    if match := re.fullmatch(r"label_values\((\w+), (\w+)\)", expression):
        series = prometheus("series", **{"match[]": match[1]})
        return [one[match[2]] for one in series]
    filled = re.sub(r"\$(instance|model)", ".*", expression.replace("$__rate_interval", "1m"))
    return [one for one in prometheus("query", query=filled)["result"] if one["value"][1] != "NaN"]


def test_a_broken_version_raises_an_alert_that_reaches_alertmanager_and_is_not_served(
    stack: Stack, broken_version: int
) -> None:
    wait("every replica refused it", lambda: all(str(broken_version) in one["failed"] for one in states(stack)))
    assert {one["version"] for one in states(stack)} == {broken_version - 1}
    url = stack.url("alertmanager", 9093)

    def alerts() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = httpx.get(f"{url}/api/v2/alerts").raise_for_status().json()
        return [one for one in found if one["labels"]["alertname"] == "VaekitModelFailed"]

    (alert,) = wait("Alertmanager has the alert", alerts, 300.0, pause=1.0)
    assert alert["labels"]["model"] == NAME
    assert alert["labels"]["version"] == str(broken_version)
    assert alert["annotations"]["summary"] == f"Version {broken_version} of {NAME} cannot be served."


@pytest.mark.usefixtures("engine")
def test_the_bill_of_materials_of_the_image_has_exactly_the_locked_versions() -> None:
    text = docker("run", "--rm", "--entrypoint", "cat", IMAGE, "/opt/vaekit/sbom.cdx.json")
    listed = {one["name"].replace("_", "-").lower(): one["version"] for one in json.loads(text)["components"]}
    from vaekit import __version__

    assert listed == {**{name: version for name, (version, _) in locked("service").items()}, "vaekit": __version__}


@pytest.mark.usefixtures("engine")
def test_the_arguments_of_the_kserve_runtime_serve_a_mounted_model(tmp_path: Path) -> None:
    runtime = yaml.safe_load((ROOT / "deploy" / "kserve" / "runtime.yaml").read_text())["spec"]["containers"][0]
    shutil.copytree(ROOT / "models" / NAME, tmp_path / "model")
    key = make_keys(tmp_path)
    variables = [part for each in runtime["env"] for part in ("--env", f"{each['name']}={each['value']}")]
    keys = tmp_path / "deploy" / "secrets" / "keys"
    mounts = ["--volume", f"{tmp_path / 'model'}:/mnt/models:ro", "--volume", f"{keys}:/run/secrets/vaekit:ro"]
    mounts += ["--tmpfs", "/tmp"]
    arguments = [each.replace("{{.Name}}", NAME) for each in runtime["args"]]
    port = runtime["ports"][0]["containerPort"]
    options = ["--detach", "--read-only", "--cap-drop", "ALL", "--publish", f"127.0.0.1::{port}", *variables, *mounts]
    container = docker("run", *options, IMAGE, *arguments).strip()
    try:
        address = f"http://{docker('port', container, f'{port}/tcp').split()[0]}"

        def ready() -> bool:
            try:
                return httpx.get(f"{address}/readyz", timeout=2).status_code == 200
            except httpx.HTTPError:
                return False

        wait("the container is ready", ready)
        reply = httpx.get(f"{address}/models", headers={"authorization": f"Bearer {key}"}).json()
        assert [one["name"] for one in reply["models"]] == [NAME]
    finally:
        docker("rm", "--force", container)
