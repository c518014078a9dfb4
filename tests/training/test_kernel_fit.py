"""A kernel prior of tables whose columns have many levels: memory of the search and of a call."""

from __future__ import annotations

import numpy as np
import pytest

from vaekit.bundle.input_spec import Kind
from vaekit_training import build, kernel_fit
from vaekit_training.config import make_config
from vaekit_training.data.rows import Rows
from vaekit_training.kernel_fit import FEW, MOST_HOT, ROWS, rows_searched
from vaekit_training.kernel_vae import KernelVAE

MANY = 400


def many_levels(n: int = 300) -> Rows:
    """A category of MANY levels and ten of two."""
    counts = (MANY, *[2] * 10)
    x = np.random.default_rng(0).integers(0, counts, (n, len(counts))).astype(np.float64)
    kinds: tuple[Kind, ...] = ("category",) * len(counts)
    names = tuple(tuple(map(str, range(count))) for count in counts)
    return Rows(x, tuple(f"c{d}" for d in range(len(counts))), np.zeros(n, dtype=bool), kinds=kinds, levels=names)


def built(rows: Rows) -> KernelVAE:
    config = make_config({"name": "k", "data": {"source": "table"}}, ["prior.name=kernel", "likelihood.name=mixed"])
    vae = build.build(config, rows, np.arange(len(rows.x)))
    assert isinstance(vae, KernelVAE)
    return vae


@pytest.mark.parametrize(("levels", "rows"), [(0, ROWS), (80, ROWS), (60_000, MOST_HOT // 60_000), (10**7, FEW)])
def test_the_search_uses_fewer_rows_of_tables_with_many_levels(levels: int, rows: int) -> None:
    assert rows_searched(3000, levels) == rows


def test_the_kernels_are_chosen_from_the_rows_of_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = many_levels()
    assert built(rows).prior.count == len(rows.x)
    monkeypatch.setattr(kernel_fit, "MOST_HOT", 1)
    assert built(rows).prior.count == FEW


def test_the_levels_of_a_row_count_in_the_memory_of_a_call() -> None:
    rows = many_levels()
    vae = built(rows)
    assert vae.prior.level_count == MANY + 20
    assert build.width(vae) == MANY + 20


def test_no_buffer_has_all_columns_padded_to_the_most_levels() -> None:
    rows = many_levels()
    vae = built(rows)
    assert vae.prior.levels is not None
    padded = len(rows.columns) * MANY
    others = {name: a.numel() for name, a in vae.prior.levels.named_buffers() if name != "log_level"}
    assert max(others.values()) < padded
