"""Our histograms expose what prometheus_client's would, byte for byte."""

from __future__ import annotations

import re

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Histogram as LibraryHistogram

from vaekit_service.histogram import Histogram

BOUNDS = (0.001, 0.01, 1, 10)


def exposed(registry: CollectorRegistry) -> str:
    """The text without the time at which a histogram was made."""
    return re.sub(r"(_created\{.*\}) .*", r"\1", generate_latest(registry).decode())


def test_the_exposition_equals_that_of_the_library() -> None:
    values = np.random.default_rng(0).lognormal(-3, 3, (200, 2)).tolist()
    edges = [[0.0, 0.001], [1.0, 10.0], [10.000001, float("inf")]]
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    histogram = Histogram("vae_seconds", "Time of\n one thing.", ["route", "model"], BOUNDS)
    ours.register(histogram)
    library = LibraryHistogram("vae_seconds", "Time of\n one thing.", ["route", "model"], buckets=BOUNDS)
    theirs.register(library)
    assert exposed(ours) == exposed(theirs)  # without a label value yet
    for a, b in [*values, *edges]:
        for value, labels in ((a, ("/elbo", 'a"b')), (b, ("/encode", "c"))):
            histogram.labels(*labels).observe(value)
            library.labels(*labels).observe(value)
    assert exposed(ours) == exposed(theirs)
    assert 'vae_seconds_bucket{le="+Inf",model="c",route="/encode"} 203.0' in exposed(ours)
