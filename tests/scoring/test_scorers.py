"""Local and remote scorers return the same scores; requests to a busy service are repeated."""

from __future__ import annotations

import httpx
import numpy as np
import pytest

from tests.live import serving
from vaekit.client import Client, ModelNotFound, RequestRefused
from vaekit.errors import InputError
from vaekit.scoring import LocalScorer, RemoteScorer

NAMES = ("elbo", "log_likelihood", "kl", "score", "p_value", "is_anomaly")


def test_a_local_scorer_returns_the_scores_of_the_model(breast_cancer, benign_rows):
    scores = LocalScorer(breast_cancer).score(benign_rows)
    elbo = breast_cancer.elbo(benign_rows)
    calibration = breast_cancer.calibration()
    np.testing.assert_array_equal(scores.score, elbo.score)
    np.testing.assert_array_equal(scores.p_value, calibration.p_value(elbo.score))
    np.testing.assert_array_equal(scores.is_anomaly, scores.p_value <= 0.05)


@pytest.mark.parametrize("n", [1, 700, 1001])
def test_parallel_calls_return_the_same_scores_in_the_same_order(breast_cancer, benign_rows, n):
    rows = np.tile(benign_rows, (1001 // len(benign_rows) + 1, 1))[:n] * np.linspace(0.9, 1.1, n)[:, None]
    one, several = (LocalScorer(breast_cancer, at_once=count).score(rows) for count in (1, 3))
    for name, values in one.arrays().items():
        if values is not None:
            if values.dtype == object:
                np.testing.assert_array_equal(several.arrays()[name], values, err_msg=name)
            else:
                np.testing.assert_allclose(several.arrays()[name], values, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("num_samples", [None, 4])
def test_a_remote_scorer_returns_the_scores_of_a_local_scorer(breast_cancer, benign_rows, url, num_samples):
    here = LocalScorer(breast_cancer, num_samples=num_samples, alpha=0.1)
    with Client(url) as client:
        there = RemoteScorer(client, "breast-cancer", num_samples=num_samples, alpha=0.1)
        remote, local = there.score(benign_rows), here.score(benign_rows)
    for name in NAMES:
        np.testing.assert_allclose(
            np.asarray(getattr(remote, name), float), np.asarray(getattr(local, name), float), rtol=1e-5, err_msg=name
        )
    assert there.reason == here.reason
    assert there.model == here.model == "breast-cancer@1"
    assert (here.reason is None) == (num_samples is None)


def test_a_remote_scorer_scores_images(digits, digit_images, url):
    with Client(url) as client:
        remote = RemoteScorer(client, "digits").score(digit_images)
    local = LocalScorer(digits).score(digit_images)
    np.testing.assert_allclose(remote.elbo, local.elbo, rtol=1e-5)
    np.testing.assert_array_equal(local.p_value_tail, digits.calibration().p_value_tail(local.score))
    np.testing.assert_allclose(remote.p_value_tail, local.p_value_tail, rtol=1e-4)


def test_a_request_that_is_too_large_for_the_service_is_halved_until_it_fits(breast_cancer, benign_rows, models_dir):
    with serving(models_dir, max_rows=50) as small, Client(small) as client:
        scorer = RemoteScorer(client, "breast-cancer")
        scores = scorer.score(benign_rows)
        with pytest.raises(RequestRefused, match="num_samples: 300"):
            RemoteScorer(client, "breast-cancer", num_samples=300).score(benign_rows)
    np.testing.assert_allclose(scores.elbo, breast_cancer.elbo(benign_rows).elbo, rtol=1e-5)
    assert scores.is_anomaly.dtype == np.bool_


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0, float("nan")])
def test_an_alpha_outside_0_to_1_is_refused(breast_cancer, alpha):
    with pytest.raises(InputError, match="not between 0 and 1"):
        LocalScorer(breast_cancer, alpha=alpha)


def test_an_alpha_below_the_smallest_p_value_gives_no_anomalies_with_both_scorers(breast_cancer, benign_rows, url):
    local = LocalScorer(breast_cancer, alpha=1e-4)
    with Client(url) as client:
        remote = RemoteScorer(client, "breast-cancer", alpha=1e-4)
        for scorer in (local, remote):
            scores = scorer.score(benign_rows)
            assert not scores.is_anomaly.any()
            assert not np.isnan(scores.p_value).any()
            assert scorer.alpha_reason.startswith("alpha 0.0001 is below the smallest possible p-value")
            assert scorer.reason is None


def test_a_number_of_draws_out_of_range_is_refused_before_any_row_is_scored(breast_cancer):
    with pytest.raises(InputError, match="num_samples: 1 is not between 2 and 256"):
        LocalScorer(breast_cancer, num_samples=1)


def test_a_model_unknown_to_the_service_is_an_error(url):
    with Client(url) as client, pytest.raises(ModelNotFound, match="breast-cancer"):
        RemoteScorer(client, "nothing")


class Watched(httpx.HTTPTransport):
    """Records the options of score requests."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[dict[str, str]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.asked.append(dict(request.url.params))
        return super().handle_request(request)


def test_a_remote_scorer_requests_only_what_scores_need(benign_rows, url):
    watched = Watched()
    with Client(url, transport=watched) as client:
        RemoteScorer(client, "breast-cancer", alpha=0.1).score(benign_rows)
    assert watched.asked == [{"alpha": "0.1", "log_evidence": "false"}]


class Full(httpx.BaseTransport):
    """Refuses the first `times` score requests, then forwards them."""

    def __init__(self, times: int, retry_after: str | None, status: int = 429) -> None:
        self._inner, self._left, self._status = httpx.HTTPTransport(), times, status
        self._headers = {} if retry_after is None else {"retry-after": retry_after}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and self._left:
            self._left -= 1
            return httpx.Response(self._status, headers=self._headers)
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


@pytest.mark.parametrize("status", [429, 503])
def test_a_request_to_a_busy_service_is_repeated_by_the_client(breast_cancer, benign_rows, url, status):
    with Client(url, transport=Full(2, "0", status=status)) as client:
        scores = RemoteScorer(client, "breast-cancer").score(benign_rows)
    np.testing.assert_allclose(scores.elbo, breast_cancer.elbo(benign_rows).elbo, rtol=1e-5)
