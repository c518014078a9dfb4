"""The manifests for Kubernetes and KServe: valid, restricted, and in step with the settings of the service.

crd-schemas.json has the parts that the manifests use of the schemas of KServe (github.com/kserve/kserve at aaac4e2) and
of the Prometheus operator (github.com/prometheus-operator/prometheus-operator at 6adcebc), both Apache-2.0. Fields that
the manifests do not use have their names only. `additionalProperties` is false, which the originals leave out.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator

from vaekit_service.settings import Settings, load

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OVERLAYS = ["cpu", "gpu"]
VERSIONS = ["1.30", "1.37"]
CRDS: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "crd-schemas.json").read_text())
CUSTOM = ["kserve/runtime.yaml", "kserve/breast-cancer.yaml", "kubernetes/monitoring/scrape.yaml"]
LABELS = {"app.kubernetes.io/name": "vaekit"}
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")


@cache
def built(overlay: str) -> dict[str, dict[str, Any]]:
    """The objects of an overlay, by kind."""
    command = ["kubectl", "kustomize", str(DEPLOY / "kubernetes" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {one["kind"]: one for one in yaml.safe_load_all(done.stdout)}


def read(path: str) -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / path).read_text()))


def custom_errors(manifest: dict[str, Any]) -> list[str]:
    return [error.message for error in Draft202012Validator(CRDS[manifest["kind"]]).iter_errors(manifest)]


def pods() -> Iterator[Any]:
    """The pod and the container of each place that runs the service, with the settings they give it."""
    for overlay in OVERLAYS:
        yield pytest.param(lambda overlay=overlay: built(overlay)["Deployment"]["spec"]["template"]["spec"], id=overlay,
                           marks=needs_kubectl)  # fmt: skip
    yield pytest.param(lambda: read("kserve/runtime.yaml")["spec"], id="kserve")


def variables(container: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container["env"]}


@needs_kubectl
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_of_an_overlay_is_valid(overlay: str, version: str) -> None:
    objects = built(overlay)
    assert set(objects) == {
        "Deployment", "Service", "PersistentVolumeClaim", "HorizontalPodAutoscaler", "PodDisruptionBudget",
        "NetworkPolicy",
    }  # fmt: skip
    for manifest in objects.values():
        kubernetes_validate.validate(manifest, version, strict=True)


@needs_kubectl
def test_the_validator_refuses_a_misspelt_field() -> None:
    broken = deepcopy(built("cpu")["Deployment"])
    broken["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readinesProbe"):
        kubernetes_validate.validate(broken, VERSIONS[0], strict=True)


@pytest.mark.parametrize("path", CUSTOM)
def test_a_custom_resource_is_valid_and_a_misspelt_field_is_not(path: str) -> None:
    manifest = read(path)
    assert custom_errors(manifest) == []
    broken = {**manifest, "spec": {**manifest["spec"], "misspelt": 1}}
    assert any("misspelt" in message for message in custom_errors(broken))


@pytest.mark.parametrize("pod", [*pods()])
def test_a_pod_meets_the_restricted_security_standard_and_writes_only_to_a_bounded_tmp(pod: Any) -> None:
    spec = pod()
    (container,) = spec["containers"]
    security = {**spec.get("securityContext", {}), **container["securityContext"]}
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] == security["runAsGroup"] == 10001
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert security["allowPrivilegeEscalation"] is False
    assert security["readOnlyRootFilesystem"] is True
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    writable = [mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["tmp"]
    (tmp,) = [volume for volume in spec["volumes"] if volume["name"] == "tmp"]
    assert tmp["emptyDir"]["sizeLimit"]
    assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("pod", [*pods()])
def test_every_variable_is_a_valid_setting_and_keys_are_required(pod: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (container,) = pod()["containers"]
    given = variables(container)
    assert {name.removeprefix("VAE_").lower() for name in given} <= set(Settings.model_fields)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = load()
    (keys,) = [mount for mount in container["volumeMounts"] if mount["name"] == "keys"]
    assert str(settings.keys_file) == f"{keys['mountPath']}/keys.toml"
    assert settings.allow_anonymous is False


@pytest.mark.parametrize("pod", [*pods()])
def test_probes_fit_the_settings(pod: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (container,) = pod()["containers"]
    for name, value in variables(container).items():
        monkeypatch.setenv(name, value)
    settings = load()
    paths = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    readiness = container["readinessProbe"]
    assert readiness["periodSeconds"] * readiness["failureThreshold"] < settings.drain_seconds


def test_the_grace_period_is_longer_than_the_end_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = read("kubernetes/base/deployment.yaml")["spec"]["template"]["spec"]
    predictor = read("kserve/breast-cancer.yaml")["spec"]["predictor"]
    runtime = read("kserve/runtime.yaml")["spec"]
    for container, grace in (
        (deployment["containers"][0], deployment["terminationGracePeriodSeconds"]),
        (runtime["containers"][0], predictor["terminationGracePeriodSeconds"]),
    ):
        monkeypatch.setenv("VAE_DRAIN_SECONDS", variables(container)["VAE_DRAIN_SECONDS"])
        settings = load()
        assert grace > settings.drain_seconds + settings.shutdown_seconds + 5
    assert predictor["timeout"] > load().answer_seconds


@needs_kubectl
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_selector_selects_the_pods_and_ports_are_named_alike(overlay: str) -> None:
    objects = built(overlay)
    template = objects["Deployment"]["spec"]["template"]
    assert template["metadata"]["labels"] == LABELS
    assert objects["Deployment"]["spec"]["selector"] == {"matchLabels": LABELS}
    assert objects["Service"]["spec"]["selector"] == LABELS
    assert objects["PodDisruptionBudget"]["spec"]["selector"] == {"matchLabels": LABELS}
    assert objects["NetworkPolicy"]["spec"]["podSelector"] == {"matchLabels": LABELS}
    (port,) = template["spec"]["containers"][0]["ports"]
    (service,) = objects["Service"]["spec"]["ports"]
    assert service["targetPort"] == port["name"]
    assert objects["NetworkPolicy"]["spec"]["ingress"][0]["ports"][0]["port"] == port["containerPort"]
    monitor = read("kubernetes/monitoring/scrape.yaml")["spec"]
    assert (monitor["selector"]["matchLabels"], monitor["endpoints"][0]["port"]) == (LABELS, service["name"])


@needs_kubectl
@pytest.mark.parametrize(("overlay", "device", "gpus"), [("cpu", "cpu", None), ("gpu", "cuda", "1")])
def test_an_overlay_chooses_the_image_and_the_device(overlay: str, device: str, gpus: str | None) -> None:
    (container,) = built(overlay)["Deployment"]["spec"]["template"]["spec"]["containers"]
    name, _, tag = container["image"].partition(":")
    assert name == ("vaekit-service-gpu" if gpus else "vaekit-service")
    assert tag == re.findall(r'__version__ = "(.+)"', (ROOT / "vaekit" / "_version.py").read_text())[0]
    assert variables(container)["VAE_DEVICE"] == device
    assert container["resources"]["limits"].get("nvidia.com/gpu") == gpus


@needs_kubectl
def test_the_autoscaler_reads_the_metric_that_the_adapter_offers() -> None:
    (metric,) = built("cpu")["HorizontalPodAutoscaler"]["spec"]["metrics"]
    (rule,) = read("kubernetes/monitoring/prometheus-adapter.yaml")["rules"]["custom"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]
    assert rule["seriesQuery"].startswith(rule["name"]["as"] + "{")
    assert "`vae_queue_depth`" in (ROOT / "docs" / "reference" / "service.md").read_text()
    assert "replicas" not in built("cpu")["Deployment"]["spec"]


def test_kserve_serves_the_mounted_folder_under_the_name_of_the_service() -> None:
    runtime, service = read("kserve/runtime.yaml")["spec"], read("kserve/breast-cancer.yaml")
    (container,) = runtime["containers"]
    command, model, folder, listens = container["args"]
    assert (command, model, folder) == ("serve", "--model_name={{.Name}}", "--model_dir=/mnt/models")
    port = int(listens.removeprefix("--http_port="))
    assert {container[f"{kind}Probe"]["httpGet"]["port"] for kind in ("startup", "liveness", "readiness")} == {port}
    assert [each["containerPort"] for each in container["ports"]] == [port]
    assert runtime["annotations"]["prometheus.kserve.io/port"] == str(port)
    assert re.fullmatch(r"[a-z0-9-]+", service["metadata"]["name"])
    asked = service["spec"]["predictor"]["model"]["modelFormat"]
    assert asked in [{k: f[k] for k in asked} for f in runtime["supportedModelFormats"]]
    assert service["spec"]["predictor"]["model"]["storageUri"] == "pvc://vaekit-models/" + service["metadata"]["name"]
    assert (ROOT / "models" / service["metadata"]["name"]).is_dir()
