"""No modules import each other in a circle, not even for type checking."""

from __future__ import annotations

from graphlib import TopologicalSorter

import grimp


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = grimp.build_graph(
        "vaekit", "vaekit_service", "vaekit_training", exclude_type_checking_imports=False, cache_dir=None
    )
    TopologicalSorter({module: graph.find_modules_directly_imported_by(module) for module in graph.modules}).prepare()
