"""Which version answers by the policy of a model, and bundles under given names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.service.test_service_updates import NAME, ROW, SELDOM, flip, listed, version
from vaekit.bundle.policy import LATEST, Policy, write_policy
from vaekit.errors import ConfigError
from vaekit_service.settings import load

pytestmark = pytest.mark.anyio


async def test_a_pinned_version_answers_and_unpinning_returns_to_the_latest(
    start: Any, copied: Path, more_versions: Any
) -> None:
    for number in (2, 3):
        more_versions(copied, number)
    home = copied / NAME
    write_policy(home, Policy(default=2))
    async with start(copied, poll_seconds=SELDOM) as service:
        updates = service.components.updates
        assert await version(service) == 2
        assert await version(service, f"/models/{NAME}/versions/default/elbo") == 2
        assert (await listed(service))[NAME]["pinned"] == 2
        write_policy(home, Policy(default="latest", loaded=(1, 2)))
        await updates.look()
        assert await version(service) == 3
        found = (await listed(service))[NAME]
        assert (found["pinned"], found["loaded"]) == (None, [1, 2, 3])
        write_policy(home, LATEST)
        await updates.look()
        assert await version(service) == 3
        write_policy(home, Policy(default=9))  # not there yet
        await updates.look()
        assert await version(service) == 3
        assert "version 9, which breast-cancer is pinned to" in (await listed(service))[NAME]["reason"]
        (home / "policy.json").write_text('{"default": "newest"}')
        await updates.look()
        assert await version(service) == 3
        assert "policy.json: default" in (await listed(service))[NAME]["reason"]
        write_policy(home, Policy(default=1))
        await updates.look()
        assert await version(service) == 1
        assert (await listed(service))[NAME]["reason"] is None


async def test_a_pinned_version_is_never_replaced_by_another_one(start: Any, copied: Path, more_versions: Any) -> None:
    flip(more_versions(copied, 2))
    write_policy(copied / NAME, Policy(default=2))
    async with start(copied, poll_seconds=SELDOM) as service:
        assert "version 2 of model 'breast-cancer' failed to load" in await version(service)
    write_policy(copied / NAME, Policy(default=2, loaded=(1,)))
    async with start(copied, poll_seconds=SELDOM) as service:
        assert "version 2 of model 'breast-cancer' failed to load" in await version(service)
        assert (await listed(service))[NAME]["loaded"] == [1]
    write_policy(copied / NAME, Policy(default=3))
    async with start(copied, poll_seconds=SELDOM) as service:
        assert "which breast-cancer is pinned to" in await version(service)
        assert await version(service, f"/models/{NAME}/versions/1/elbo") == 1
        found = (await listed(service))[NAME]
        assert (found["version"], found["versions"], found["state"]) == (3, [1, 2], "failed")
        assert (await service.http.get("/readyz")).status_code == 503


async def test_a_pin_in_the_settings_holds_instead_of_the_policy_of_the_folder(
    start: Any, copied: Path, more_versions: Any
) -> None:
    for number in (2, 3):
        more_versions(copied, number)
    write_policy(copied / NAME, Policy(default=3))
    async with start(copied, poll_seconds=SELDOM, pins=f"{NAME}=2+1") as service:
        assert await version(service) == 2
        assert (await listed(service))[NAME]["loaded"] == [1, 2]


async def test_a_bundle_is_served_under_a_given_name(start: Any, copied: Path, more_versions: Any) -> None:
    async with start(model=f"iris={copied / NAME / '1'}", poll_seconds=SELDOM) as service:
        reply = await service.post("/elbo", {"inputs": [ROW]})
        assert (reply.json()["model"], reply.json()["version"]) == ("iris", 1)
        assert (await service.http.get("/models/iris")).json()["name"] == "iris"
        assert list(await listed(service)) == ["iris"]
        assert (
            'vae_rows_total{model="iris",operation="elbo",version="1"} 1.0' in (await service.http.get("/metrics")).text
        )
    async with start(copied, model=f"iris={copied / NAME}", poll_seconds=SELDOM) as service:
        assert list(await listed(service)) == [NAME, "iris"]
        more_versions(copied, 2)
        await service.components.updates.look()
        assert await version(service, "/models/iris/elbo") == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "iris"}, r"VAE_MODEL='iris': .*'iris' is not NAME=PATH"),
        ({"model": "Iris=a"}, "no model 'Iris'"),
        ({"model": "a=b,a=c"}, "'a=c' is given twice"),
        ({"pins": "a=newest"}, r"VAE_PINS=.*a=newest: expected a version, or latest"),
        ({"pins": "a=0"}, "a=0: expected a version"),
    ],
)
def test_invalid_names_and_pins_are_refused_with_a_sentence(given: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(**given)
