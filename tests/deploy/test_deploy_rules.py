"""The alert rules and the dashboard: valid, tested, documented, and about metrics that the service documents."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
RULES_FILE = DEPLOY / "prometheus" / "rules.yml"
GROUPS = yaml.safe_load(RULES_FILE.read_text())["groups"]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboards" / "vaekit.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
MONITOR = (ROOT / "docs" / "how-to" / "monitor.md").read_text()
plugins.register_default_plugins()


def metrics(expression: str) -> set[str]:
    """The names of the service's metrics in a query, without the endings that Prometheus adds to histograms."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bvae_\w+", expression)}


def documented() -> set[str]:
    """The metrics in the service reference, where `..._low` continues the name before it."""
    found: set[str] = set()
    last = ""
    for name, ending in re.findall(r"`(vae_\w+)`|`\.\.\.(\w+)`", (ROOT / "docs/reference/service.md").read_text()):
        last = name or last
        found.add(last + ending)
    return found


def queries() -> Iterator[tuple[str, str]]:
    """The name and the expression of every rule and of every query of the dashboard."""
    yield from ((rule["alert"], rule["expr"]) for rule in RULES)
    yield from ((panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"])


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
def test_promtool_accepts_the_rules_and_their_tests_pass() -> None:
    for command in (["check", "rules", str(RULES_FILE)], ["test", "rules", "tests/deploy/rules_test.yml"]):
        done = subprocess.run(["promtool", *command], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_is_tested_and_says_what_to_do(rule: dict[str, Any]) -> None:
    name = rule["alert"]
    assert f'{name}"' in (text := (ROOT / "tests/deploy/rules_test.yml").read_text()) or f"alertname: {name}" in text
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/how-to/monitor.md#{name.lower()}"
    assert f"\n### {name}\n" in MONITOR
    assert rule["labels"] in ({"severity": "warning"}, {"severity": "critical"})


def test_the_page_has_no_alert_that_does_not_exist() -> None:
    assert re.findall(r"^### (Vaekit\w+)$", MONITOR, re.MULTILINE) == [rule["alert"] for rule in RULES]


@pytest.mark.parametrize(("name", "expression"), [*queries()])
def test_a_query_is_about_documented_metrics(name: str, expression: str) -> None:
    assert metrics(expression) <= documented(), name


def round_trip(dashboard: dict[str, Any]) -> list[str]:
    """Where Grafana's types lose or change something: unknown fields, and values of another type."""

    def differences(given: Any, read: Any, path: str) -> Iterator[str]:
        if isinstance(given, dict) and isinstance(read, dict):
            for name, value in given.items():
                yield from differences(value, read.get(name), f"{path}/{name}")
        elif isinstance(given, list) and isinstance(read, list) and len(given) == len(read):
            for at, (one, other) in enumerate(zip(given, read, strict=True)):
                yield from differences(one, other, f"{path}/{at}")
        elif given != read:
            yield path

    encoded = JSONEncoder(sort_keys=True).encode(Dashboard.from_json(deepcopy(dashboard)))
    return list(differences(dashboard, json.loads(encoded), ""))


def test_grafanas_types_know_every_field_of_the_dashboard() -> None:
    assert round_trip(DASHBOARD) == []


@pytest.mark.parametrize("place", ["", "fieldConfig", "options", "targets/0"])
def test_a_misspelt_field_of_a_panel_is_noticed(place: str) -> None:
    broken = deepcopy(DASHBOARD)
    at: Any = next(panel for panel in broken["panels"] if panel["type"] == "timeseries")
    for name in filter(None, place.split("/")):
        at = at[int(name)] if name.isdigit() else at[name]
    at["misspelt"] = "x"
    assert [path.rpartition("/")[2] for path in round_trip(broken)] == ["misspelt"]


def test_panels_do_not_overlap_and_have_their_own_id_and_a_description() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])):
            assert cell not in taken, (panel["title"], taken.get(cell))
            taken[cell] = panel["title"]
    assert all(panel["description"] for panel in PANELS)


def test_every_panel_reads_from_the_chosen_data_source_and_variables_exist() -> None:
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) - {"__rate_interval", "__all"}
    assert used <= variables
    assert variables == {"datasource", "instance", "model"}
    assert all(panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"} for panel in PANELS)


def test_a_panel_names_only_alerts_that_exist() -> None:
    named = set(re.findall(r"Vaekit[A-Z]\w+", json.dumps(DASHBOARD)))
    assert named
    assert named <= {rule["alert"] for rule in RULES}


def test_the_provisioned_data_source_is_the_prometheus_of_the_stack() -> None:
    folder = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())["datasources"]
    services = yaml.safe_load((DEPLOY / "compose.yml").read_text())["services"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    assert "prometheus" in services
    current = {v["name"]: v["current"]["value"] for v in DASHBOARD["templating"]["list"]}
    assert current["datasource"] == source["uid"]
    (provider,) = yaml.safe_load((folder / "dashboards" / "vaekit.yml").read_text())["providers"]
    mounts = {volume["target"]: volume["source"] for volume in services["grafana"]["volumes"]}
    assert mounts[provider["options"]["path"]] == "./deploy/grafana/dashboards"
