"""A proposed version is used where it is named, and is the latest only once it is accepted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.versions import add_version
from vaekit import Model
from vaekit.bundle import find, models, versions
from vaekit.bundle.models_folder import latest, newest_accepted
from vaekit.bundle.policy import Policy, write_policy
from vaekit.bundle.proposal import (
    ACCEPTED_FILE,
    PROPOSAL_FILE,
    AlphaComparison,
    Comparison,
    Proposal,
    accept,
    is_proposed,
    read_proposal,
)
from vaekit.errors import FormatError, StorageError, UnknownModel
from vaekit.scoring import locate

NAME = "breast-cancer"
LINE = AlphaComparison(alpha=0.05, before=1.0, after=2.0, flagged=3, rate_low=0.01, rate_high=0.2)
PROPOSAL = Proposal(
    parent=f"{NAME}@1",
    comparisons=(Comparison(num_samples=8, precision="float32", n_before=10, n_after=20, alphas=(LINE,)),),
    warnings=("of the choice",),
)


@pytest.fixture
def copied(models_dir: Path, tmp_path: Path) -> Path:
    """A writable models folder with breast-cancer in it."""
    shutil.copytree(models_dir / NAME / "1", tmp_path / "models" / NAME / "1")
    return tmp_path / "models"


def propose(root: Path, version: int) -> Path:
    """A further version that is proposed."""
    folder = add_version(root, version)
    (folder / PROPOSAL_FILE).write_bytes(PROPOSAL.to_json())
    return folder


def test_a_proposed_version_is_listed_but_is_not_the_latest_anywhere(copied: Path) -> None:
    folder = propose(copied, 2)
    assert (versions(copied, NAME), models(copied)) == ([1, 2], [NAME])
    assert latest(copied, NAME) == 1
    assert find(copied, NAME) == locate(NAME, copied) == locate(str(copied / NAME), copied) == copied / NAME / "1"
    assert find(copied, NAME, 2) == locate(f"{NAME}@2", copied) == folder
    with Model.load(copied / NAME, device="cpu") as model:
        assert model.manifest.version == 1
    accept(folder)
    assert (latest(copied, NAME), find(copied, NAME)) == (2, folder)


def test_accepting_keeps_the_comparison_and_works_once(copied: Path) -> None:
    folder = propose(copied, 2)
    assert read_proposal(folder) == PROPOSAL
    accept(folder)
    assert not is_proposed(folder)
    assert Proposal.model_validate_json((folder / ACCEPTED_FILE).read_bytes()) == PROPOSAL
    with pytest.raises(FormatError, match="not proposed"):
        read_proposal(folder)
    with pytest.raises(StorageError):
        accept(folder)


def test_a_model_with_proposed_versions_alone_has_no_latest(copied: Path) -> None:
    (copied / NAME / "1" / PROPOSAL_FILE).write_bytes(PROPOSAL.to_json())
    with pytest.raises(UnknownModel, match=rf"only proposed versions; .* vae models accept {NAME}@1"):
        find(copied, NAME)


def test_a_policy_that_names_a_proposed_version_does_not_accept_it(copied: Path) -> None:
    folder = propose(copied, 2)
    write_policy(copied / NAME, Policy(default=2))  # as of a version 2 that was deleted
    with pytest.raises(UnknownModel, match=rf"pinned to, is proposed; first run vae models accept {NAME}@2"):
        find(copied, NAME)
    assert find(copied, NAME, 2) == folder
    accept(folder)
    assert find(copied, NAME) == folder


def test_a_damaged_proposal_keeps_the_version_from_being_the_latest(copied: Path) -> None:
    folder = propose(copied, 2)
    (folder / PROPOSAL_FILE).write_text("{")
    assert latest(copied, NAME) == 1
    with pytest.raises(FormatError):
        read_proposal(folder)


@pytest.mark.parametrize(
    ("proposed", "want"), [({}, None), ({1: True}, None), ({1: False, 2: True}, 1), ({1: False, 3: False, 4: True}, 3)]
)
def test_the_newest_accepted_version(proposed: dict[int, bool], want: int | None) -> None:
    assert newest_accepted(proposed) == want
