"""The chaos benchmark: its broken versions are broken, and its figures count what they say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.chaos import fuzz, kills, soak, swaps
from benchmarks.chaos.versions import HARMS, Publisher
from benchmarks.plan import Plan
from tests.service.conftest import Running, run
from vaekit.bundle import versions
from vaekit_service.repository.source import ModelSource
from vaekit_service.repository.updates import _version
from vaekit_service.repository.version import open_version

NAME = "breast-cancer"


@pytest.fixture
def home(models_dir: Path, tmp_path: Path) -> Path:
    shutil.copytree(models_dir / NAME / "1", tmp_path / NAME / "1")
    return tmp_path / NAME


def opened(home: Path, number: int) -> None:
    """Open a version as the service does."""
    found = ModelSource(home.parent, {}, {}).scan()[NAME].versions[number]
    open_version(_version(NAME, found), "cpu", lambda _: 1, SimpleNamespace(graphs=False), "float32").close()  # type: ignore[arg-type]  # stand-in


def test_a_version_without_harm_is_served_and_each_harm_breaks_one(home: Path) -> None:
    publisher = Publisher(home)
    opened(home, publisher.publish())
    for harm in HARMS:
        with pytest.raises(Exception, match=rf"{NAME}/\d"):
            opened(home, publisher.publish(harm))
    assert versions(home.parent, NAME) == [1, 2, *range(3, 3 + len(HARMS))]
    assert publisher.newest == 2 + len(HARMS)


class Service:
    """A service that swaps in each version that it is told of, `lag` looks later; `wrong`: also the broken ones."""

    def __init__(self, *, wrong: bool = False) -> None:
        self.version, self.failed, self.wrong = 1, dict[str, str](), wrong

    def get(self, _: str) -> bytes:
        return json.dumps({"models": [{"version": self.version, "failed": self.failed}]}).encode()

    def publish(self, number: int, harm: Any) -> None:
        if harm is not None:
            self.failed[str(number)] = "broken"
        if harm is None or self.wrong:
            self.version = number


@pytest.mark.parametrize("wrong", [False, True])
def test_swaps_are_counted_and_a_broken_version_that_serves_is_noticed(
    wrong: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swaps, "PAUSE", 0.0)
    monkeypatch.setattr(swaps, "WARM_UP", 0.0)
    service, numbers = Service(wrong=wrong), iter(range(2, 100))

    def publish(harm: Any = None) -> int:
        number = next(numbers)
        service.publish(number, harm)
        return number

    outcome = swaps.Outcome()
    swaps._publish(service, SimpleNamespace(publish=publish), outcome, HARMS[0])  # type: ignore[arg-type]  # a stand-in
    assert (len(outcome.seconds), outcome.broken) == (swaps.SWAPS - 1, 1)
    assert outcome.wrong == int(wrong)


def test_figures_name_failed_requests_and_the_ratio_of_p99() -> None:
    steady = [{"p99": p99, "statuses": {"200": 10}} for p99 in (0.01, 0.02, 0.5)]
    busy = [{"p99": p99, "statuses": {"200": 10, "503": 1, "0": 2}} for p99 in (0.01, 0.04, 0.05)]
    figures = {f.name: f for f in swaps._figures(steady, busy, swaps.Outcome([0.5, 0.6], broken=1))}
    assert figures["swaps: requests failed"].value == 9
    assert figures["swaps: requests failed"].met is False
    assert figures["swaps: requests answered"].value == 30
    assert figures["swaps: p99 relative to the load alone"].value == 2.0
    assert figures["swaps: from publish to serving"].value == 0.55
    first, *_ = swaps._memory([100, 300, 104])
    assert (first.value, first.met) == (1.04, True)


@pytest.mark.slow
def test_no_killed_publish_is_listed_by_a_running_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kills, "POLL_SECONDS", 0.02)
    steps, broken, unanswered = kills.measure(Plan(quick=True, work=tmp_path, peers=None)).figures
    assert steps.value > 50
    assert (broken.value, unanswered.value) == (0, 0)


def report(*failures: tuple[str, list[str], int], errors: int = 0) -> dict[str, Any]:
    listed = [{"type": kind, "operations": operations, "count": count} for kind, operations, count in failures]
    rates = {"POST /elbo": {"fuzzing": {"accepted": 4, "rejected": 2}, "coverage": {"accepted": 1, "rejected": 0}}}
    return {"failures": listed, "errors": [{}] * errors, "test_cases": {"generated": 100}, "valid_rates": rates}


def test_failures_of_the_fuzz_are_counted_by_kind_and_put_is_on_purpose() -> None:
    put = ("UnsupportedMethodResponse", ["PUT /elbo", "PUT /encode"], 2)
    found = fuzz.figures([report(put, ("ServerError", ["POST /elbo"], 3)), report(errors=1)])
    assert [figure.value for figure in found] == [200, 10, 3, 1, 0]
    others = (("UnsupportedMethodResponse", ["PUT /elbo", "DELETE /elbo"], 1), ("ResponseTimeout", ["GET /metrics"], 5))
    assert [figure.value for figure in fuzz.figures([report(*others)])][2:] == [0, 5, 1]


@pytest.mark.anyio
async def test_the_filled_in_document_describes_requests_that_the_model_answers(models_dir: Path) -> None:
    async with run(models_dir) as service:
        await _answers(service)


async def _answers(service: Running) -> None:
    document = fuzz.filled_in((await service.http.get("/openapi.json")).json())
    rows = document["components"]["schemas"]["ElboMixedRows"]["properties"]["inputs"]["items"]
    assert (rows["minItems"], rows["maxItems"]) == (fuzz.DIMS, fuzz.DIMS)
    latents = document["components"]["schemas"]["DecodeLatents"]["properties"]["latents"]["items"]
    bodies = {"elbo": {"inputs": [[1.0] * rows["minItems"]]}, "decode": {"latents": [[0.5] * latents["minItems"]]}}
    for operation, body in bodies.items():
        path = f"/models/{fuzz.NAME}/versions/1/{operation}"
        template = document["paths"][f"/models/{{name}}/versions/{{version}}/{operation}"]["post"]
        assert [p["schema"]["enum"] for p in template["parameters"] if p["in"] == "path"] == [[fuzz.NAME], [1]]
        assert (await service.post(path, body)).status_code == 200


def test_the_soak_counts_what_is_not_right_and_fits_a_line_through_the_memory() -> None:
    outcomes = {"right": 90, "wrong": 2, "status 500": 1, "hung": 1, "cut in the body": 6, "seconds": 120.0}
    found = {
        figure.name: figure for figure in soak.figures(outcomes, [2**20 * (100 + i) for i in range(7)], 60.0, 50.0)
    }
    assert found["soak: answers that were wrong, lost, refused or late"].value == 4
    assert (found["soak: right answers"].value, found["soak: requests hung up on"].value) == (90, 6)
    assert found["soak: growth of the memory"].value == pytest.approx(60.0)
    assert found["soak: growth of the memory"].met is False


def test_operations_that_are_answered_with_501_alone_are_not_fuzzed() -> None:
    document = json.loads((Path(__file__).parents[1] / "service" / "openapi.json").read_text(encoding="utf-8"))
    named = {path for path, item in document["paths"].items() for one in item.values() if "501" in one["responses"]}
    left = fuzz.patient(document)["paths"]
    assert "/v2/logging" in named - left.keys()
    assert "/v2/models/{model}/infer" in left
    assert left.keys() >= document["paths"].keys() - named
